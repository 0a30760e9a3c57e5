package hyperdht

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/udx"
)

// maxCopies is how many copies of a handshake wait while it is computed.
const maxCopies = 8

// incoming is a handshake of a client and, until there is a direct path, the
// hole punch that follows.
type incoming struct {
	s       *Server
	key     string // the client's message
	host    netip.Addr
	slot    int
	endedAt time.Time // guarded by the server's mutex

	mu      sync.Mutex // guards what follows
	done    bool       // noise is final
	noise   []byte     // the answer; nil: silence
	copies  []func(noise []byte)
	link    *link
	cipher  *punchCipher
	puncher *puncher
	round   uint64
	busy    bool // a round is being worked on
	relayed bool
	patient time.Time // until when the client may be silent
}

// handleHandshake answers a client's message, which comes more than once: each
// relay brings a copy, and lost answers are asked for again. It is computed once.
func (s *Server) handleHandshake(r *dhtrpc.Request, h handshake) {
	if len(h.noise) == 0 || h.mode == fromServer || h.mode == reply || h.mode == fromSecondRelay && !usable(h.relay) || h.mode > reply {
		return
	}
	direct := !h.peer.IsValid()
	client := h.peer
	if direct {
		client = r.From
	}
	if !usable(client) || direct != (h.mode == fromClient) {
		return
	}
	req := r.Clone()
	mode, relay := h.mode, h.relay
	answer := func(noise []byte) {
		switch mode {
		case fromClient:
			out := handshake{mode: reply, noise: noise}
			req.Reply(dhtrpc.Reply{Value: out.appendTo(nil)})
		case fromRelay:
			out := handshake{mode: fromServer, noise: noise, peer: client}
			req.Relay(out.appendTo(nil), req.From, nil)
		case fromSecondRelay:
			out := handshake{mode: fromServer, noise: noise, peer: client}
			req.Relay(out.appendTo(nil), relay, nil)
		}
	}
	s.mu.Lock()
	if s.suspended || s.ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	s.forgetOldLocked(time.Now())
	in := s.incoming[string(h.noise)]
	if in != nil {
		s.mu.Unlock()
		in.answerCopy(answer)
		return
	}
	if !s.d.halfOpen.enter(client.Addr()) {
		s.mu.Unlock()
		return
	}
	in = &incoming{s: s, key: string(h.noise), host: client.Addr(), slot: -1, copies: []func([]byte){answer}}
	s.incoming[in.key] = in
	s.mu.Unlock()
	if !s.d.goTask(func() { in.run(req, client, direct) }) {
		s.d.halfOpen.leave(in.host)
	}
}

func (in *incoming) answerCopy(answer func([]byte)) {
	in.mu.Lock()
	done, noise := in.done, in.noise
	if !done && len(in.copies) < maxCopies {
		in.copies = append(in.copies, answer)
	}
	in.mu.Unlock()
	if done && noise != nil {
		answer(noise)
	}
}

// run sees a handshake through to a connection or its end.
func (in *incoming) run(r *dhtrpc.Request, client netip.AddrPort, direct bool) {
	defer in.s.d.halfOpen.leave(in.host)
	l := in.compute(r, client, direct)
	if l == nil {
		in.s.ending(in)
		return
	}
	// Remembered as long as the connection: a client that has lost its way to
	// this side repeats what it said.
	l.atEnd(func() {
		in.s.freeSlot(in)
		in.s.ending(in)
	})
	if !in.awaitPath(l) {
		l.abort(ErrConnectFailed)
		return
	}
	conn, err := l.firstBytes(l.ctx)
	if err != nil {
		l.abort(err)
		return
	}
	l.rememberPeer(l.remoteKey())
	t := time.NewTimer(incomingWait)
	defer t.Stop()
	select {
	case in.s.conns <- conn:
		if in.s.ctx.Err() != nil {
			in.s.dropAccepted()
		}
	case <-t.C:
		conn.drop()
	case <-in.s.ctx.Done():
		conn.drop()
	}
}

// awaitPath waits until the link has a path; false if the time is over.
func (in *incoming) awaitPath(l *link) bool {
	for {
		in.mu.Lock()
		left := time.Until(in.patient)
		in.mu.Unlock()
		if left <= 0 {
			return false
		}
		t := time.NewTimer(left)
		select {
		case <-l.ready:
			t.Stop()
			return true
		case <-l.ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
	}
}

// patience gives the client at least that much more time.
func (in *incoming) patience(d time.Duration) {
	until := time.Now().Add(d)
	in.mu.Lock()
	defer in.mu.Unlock()
	if until.After(in.patient) {
		in.patient = until
	}
}

func (in *incoming) giveUp(err error) {
	in.mu.Lock()
	l := in.link
	in.mu.Unlock()
	if l != nil {
		select {
		case <-l.ready: // a connection by now
		default:
			l.abort(err)
		}
	}
}

// finish makes the answer final and gives it to all who wait.
func (in *incoming) finish(noise []byte) {
	in.mu.Lock()
	in.done, in.noise = true, noise
	copies := in.copies
	in.copies = nil
	in.mu.Unlock()
	if noise != nil {
		for _, answer := range copies {
			answer(noise)
		}
	}
}

// compute runs the responder's part and answers. The result is nil if there is
// nothing to wait for.
func (in *incoming) compute(r *dhtrpc.Request, client netip.AddrPort, direct bool) *link {
	s, d := in.s, in.s.d
	resp, p, err := s.respond([]byte(in.key))
	if err != nil || s.o.Allow != nil && !s.o.Allow(resp.remote, client) || s.o.Admit != nil && !s.o.Admit(s.ctx, resp.remote, resp.payload) {
		in.finish(nil)
		return nil
	}
	out := &payload{udx: &udxInfo{}, secret: true}
	public, open := d.node.PublicAddr()
	relays, relayAddrs := s.ann.state()
	out.relays = relayAddrs
	switch {
	case p.version != payloadVersion:
		out.err = errorVersion
	case p.udx == nil:
		out.err = errorAborted
	}
	if !s.o.OnlyRelay {
		if open {
			out.firewall = firewallOpen
			out.addresses4 = append(out.addresses4, public)
		}
		if !s.o.NoLAN {
			out.addresses4 = append(out.addresses4, d.localAddrs()...)
		}
	}
	if !open || s.o.OnlyRelay {
		s.takeSlot(in)
		out.punch = &punchInfo{id: uint64(in.slot), relays: relays}
	}
	if s.o.RelayThrough != nil {
		out.through = &relayThrough{key: *s.o.RelayThrough, token: randomToken()}
	}
	var l *link
	if out.err == errorNone {
		if l, err = d.newLink(); err != nil {
			s.freeSlot(in)
			in.finish(nil)
			return nil
		}
		l.private = s.o.OnlyRelay
		out.udx.id, out.udx.reusable = l.stream.ID(), true
	}
	noise, session, err := s.answer(resp, out)
	if err != nil || l == nil {
		s.freeSlot(in)
		if err != nil {
			noise = nil
		}
		in.finish(noise)
		if l != nil {
			l.abort(ErrRefused)
		}
		return nil
	}
	l.delegated = resp.delegated
	in.mu.Lock()
	in.link = l
	in.patient = time.Now().Add(incomingWait)
	in.relayed = out.through != nil || p.through != nil
	if out.punch != nil && !s.o.OnlyRelay && !s.o.NoPunch && !direct {
		in.cipher = l.punchCipher(session)
		in.puncher = d.newPuncher(l, false)
		in.puncher.remote = p.firewall
	}
	in.mu.Unlock()
	l.setKeys(session, p.udx.id)
	if in.puncher != nil {
		in.puncher.expect(client)
	}
	in.startRelay(l, p, out)
	if !l.private && (direct || p.firewall == firewallOpen) {
		socket := d.socket()
		if direct {
			socket, _ = r.Socket.(*udx.Socket)
		}
		if socket != nil {
			l.use(socket, client, l.kindOf(client))
		}
	}
	in.finish(noise)
	return l
}

// respond reads a client's message. What is computed here waits for its turn;
// a delegate computes elsewhere.
func (s *Server) respond(message []byte) (*responder, *payload, error) {
	if s.own.delegate != nil {
		return delegatedResponder(s.ctx, s.own.delegate, message)
	}
	select {
	case s.d.halfOpen.cpu <- struct{}{}:
	case <-s.ctx.Done():
		return nil, nil, ErrClosed
	}
	defer func() { <-s.d.halfOpen.cpu }()
	return newResponder(s.own.keyPair, message)
}

// answer makes the answer to a client's message.
func (s *Server) answer(resp *responder, out *payload) ([]byte, *secretstream.Session, error) {
	if resp.delegated == nil {
		s.d.halfOpen.cpu <- struct{}{}
		defer func() { <-s.d.halfOpen.cpu }()
	}
	return resp.write(out)
}

// startRelay connects through the relay that one of the two payloads names.
func (in *incoming) startRelay(l *link, client, own *payload) {
	through, initiator := own.through, true
	if through == nil {
		through, initiator = client.through, false
	}
	if through == nil {
		return
	}
	in.patience(2 * relayWait)
	in.s.d.goTask(func() {
		if err := l.relayThrough(through.key, through.token, initiator); err != nil {
			in.s.d.o.Log.Debug("relay", "err", err)
		}
	})
}

// handleHolepunch takes a round of a client.
func (s *Server) handleHolepunch(r *dhtrpc.Request, h holepunch) {
	s.mu.Lock()
	var in *incoming
	if !s.suspended && h.id < uint64(len(s.slots)) {
		in = s.slots[h.id]
	}
	s.mu.Unlock()
	if in == nil || !usable(h.peer) {
		return
	}
	in.mu.Lock()
	p, cipher := in.puncher, in.cipher
	if p == nil || cipher == nil || in.busy {
		in.mu.Unlock()
		return
	}
	remote, err := cipher.open(h.payload)
	if err != nil || p.direct.Err() != nil && !in.punchAgainLocked(remote) {
		in.mu.Unlock()
		return
	}
	in.busy = true
	in.mu.Unlock()
	req, client := r.Clone(), h.peer
	ok := s.d.goTask(func() {
		out := in.handleRound(req, remote, client)
		in.mu.Lock()
		in.busy = false
		in.mu.Unlock()
		if out != nil {
			v := holepunch{mode: fromServer, payload: cipher.seal(out), peer: client}
			req.Relay(v.appendTo(nil), req.From, nil)
		}
	})
	if !ok {
		in.giveUp(ErrClosed)
	}
}

// punchAgainLocked takes up the hole punch of a connection that has fallen
// silent. in.mu must be held.
func (in *incoming) punchAgainLocked(remote *round) bool {
	if remote.round <= in.round || in.link.seek() == nil {
		return false
	}
	in.puncher = in.s.d.newPuncher(in.link, false)
	return true
}

// abortRound ends the hole punch. There may be another way: a relay, or the local
// network, for which the usual patience is left.
func (in *incoming) abortRound(code uint64) *round {
	in.puncher.end()
	return &round{err: code, round: in.round}
}

// handleRound is the server's part of a hole punch.
func (in *incoming) handleRound(r *dhtrpc.Request, remote *round, client netip.AddrPort) *round {
	s, d, p := in.s, in.s.d, in.puncher
	byRelay := s.ann.isRelay(r.From)
	if remote.round >= in.round {
		in.round = remote.round
	}
	if remote.err != errorNone {
		return in.abortRound(errorAborted)
	}
	token := in.cipher.token(client.Addr())
	verified := netip.Addr{}
	if byRelay && remote.remoteToken != nil && *remote.remoteToken == *token {
		verified = client.Addr()
	}
	if remote.round >= in.round {
		p.update(remote, verified)
	}
	p.expect(client)
	hint := netip.AddrPort{}
	if r.Socket == dhtrpc.Socket(p.socket) {
		hint = r.To
	}
	view := d.analyze(p.direct, hint)
	p.setNAT(view)
	if !remote.punching && (view.firewall == firewallUnknown || view.firewall >= firewallRandom && remote.firewall >= firewallRandom) {
		return in.abortRound(errorAborted)
	}
	// The client has opened its NAT for one of our addresses: often this byte is
	// all it takes.
	if view.firewall.coerce() == firewallConsistent && remote.remote.IsValid() && slices.Contains(view.addrs, remote.remote) {
		p.ping(client)
	}
	out := &round{round: in.round, firewall: view.firewall, addresses: view.addrs, remoteToken: remote.token}
	if byRelay {
		out.token = token
	}
	p.mu.Lock()
	out.punching = p.started
	p.mu.Unlock()
	if !remote.punching || out.punching {
		return out
	}
	random := p.isRandom()
	if random && !d.punches.startRandom() {
		if !in.relayed {
			return in.abortRound(errorTryLater)
		}
		out.err = errorTryLater
		return out
	}
	if _, ok := p.punch(); !ok {
		if random {
			d.punches.cancelRandom()
		}
		return in.abortRound(errorAborted)
	}
	if random {
		in.patience(randomProbes*randomPause + passiveWait)
	} else {
		in.patience((punchRounds + 2) * time.Second)
	}
	out.punching = true
	return out
}
