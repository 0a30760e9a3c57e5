package hyperdht

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/udx"
)

// ConnectOptions configures [DHT.Connect]. The zero value is ready to use.
type ConnectOptions struct {
	// KeyPair is this side's identity. Nil means that of the DHT.
	KeyPair *hypercrypto.KeyPair
	// RelayAddresses are nodes that may know the peer, asked before others; or
	// the peer's own address, which needs no network at all.
	RelayAddresses []netip.AddrPort
	// RelayThrough is the key of a relay to use as long as there is no direct
	// path.
	RelayThrough *hypercrypto.PublicKey
	// OnlyRelay connects through RelayThrough, or the relay that the peer names,
	// and no other way: no address of this machine is told to the peer, no hole
	// is punched. The nodes that pass the handshake on still see where it comes
	// from, and by the protocol tell the peer.
	OnlyRelay bool
	// NoLAN tells no local addresses and does not try the peer's.
	NoLAN bool
}

const (
	passiveWait = 10 * time.Second
	unknownWait = time.Second
	relayWait   = 15 * time.Second
	// searchDelay is the lead that nodes which are known to know a peer have
	// over a search for others.
	searchDelay = 100 * time.Millisecond
	// peerLead is the lead of the peer itself, where it was lately, over them.
	peerLead = 50 * time.Millisecond
)

// Connect finds the peer with a public key and connects to it. The connection is
// handed out when the peer's first encrypted bytes have arrived. If ctx ends
// before, the attempt ends; ctx has no effect on the connection.
func (d *DHT) Connect(ctx context.Context, key hypercrypto.PublicKey, o *ConnectOptions) (*Conn, error) {
	if o == nil {
		o = &ConnectOptions{}
	}
	kp := o.KeyPair
	if kp == nil {
		kp = d.o.KeyPair
	}
	return d.connect(ctx, identity{keyPair: kp}, key, o)
}

func (d *DHT) connect(ctx context.Context, own identity, key hypercrypto.PublicKey, o *ConnectOptions) (*Conn, error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	l, err := d.newLink()
	if err != nil {
		return nil, err
	}
	l.private = o.OnlyRelay
	c := &dialer{d: d, o: o, own: own, link: l, key: key, target: targetOf(key)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(l.ctx, func() { cancel(context.Cause(l.ctx)) })
	defer stop()
	conn, err := c.run(ctx)
	if err != nil {
		l.abort(err)
		return nil, fmt.Errorf("connect to %v: %w", key, err)
	}
	return conn, nil
}

// dialer is one attempt to connect.
type dialer struct {
	d      *DHT
	o      *ConnectOptions
	own    identity
	link   *link
	key    hypercrypto.PublicKey
	target dhtrpc.ID
	open   bool // this side has told that it is reachable
	token  [32]byte
	round  atomic.Uint64 // of the hole punch
}

// greeting is the first usable answer to a handshake.
type greeting struct {
	payload *payload
	session *secretstream.Session
	socket  *udx.Socket    // that asked
	node    netip.AddrPort // that was asked
	server  netip.AddrPort // as the node sees it
	client  netip.AddrPort // this side as the node sees it
	relayed bool           // node is not the server itself
	noise   []byte         // the answer itself
}

func (c *dialer) run(ctx context.Context) (*Conn, error) {
	first, err := c.initiator(ctx)
	if err != nil {
		return nil, err
	}
	g, err := c.handshake(ctx, first.message, first.read)
	if err != nil {
		return nil, err
	}
	c.link.delegated = first.delegated
	c.link.setKeys(g.session, g.payload.udx.id)
	ways := c.ways(g)
	if len(ways) == 0 {
		return nil, fmt.Errorf("%w: the peer does not punch", ErrHolepunch)
	}
	failed := make(chan error, len(ways))
	direct := c.link.untilDirect()
	for _, way := range ways {
		if !c.d.goTask(func() { failed <- way(direct) }) {
			return nil, ErrClosed
		}
	}
	err = nil
	for range ways {
		select {
		case <-c.link.ready:
		case e := <-failed:
			if err == nil || e != nil {
				err = e
			}
			continue
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		break
	}
	select {
	case <-c.link.ready:
		conn, err := c.link.firstBytes(ctx)
		if err == nil {
			c.seekLater(first.message, g)
			c.link.rememberPeer(c.key)
		}
		return conn, err
	default:
	}
	if err == nil {
		err = ErrConnectFailed
	}
	return nil, err
}

// initiator makes the first message.
func (c *dialer) initiator(ctx context.Context) (*initiator, error) {
	p := &payload{udx: &udxInfo{id: c.link.stream.ID(), reusable: true}, secret: true}
	if !c.o.OnlyRelay {
		if addr, ok := c.d.node.PublicAddr(); ok {
			c.open, p.firewall = true, firewallOpen
			p.addresses4 = append(p.addresses4, addr)
		}
		if !c.o.NoLAN {
			p.addresses4 = append(p.addresses4, c.d.localAddrs()...)
		}
	}
	if c.o.RelayThrough != nil {
		c.token = randomToken()
		p.through = &relayThrough{key: *c.o.RelayThrough, token: c.token}
	}
	if c.own.delegate != nil {
		return delegatedInitiator(ctx, c.own.delegate, p)
	}
	return newInitiator(c.own.keyPair, c.key, p)
}

// handshake asks nodes that know the peer until one brings its answer: known
// ones in turn, those a search finds, two at a time, and the peer itself where it
// was lately. read takes an answer and
// tells whether it is good.
func (c *dialer) handshake(ctx context.Context, message []byte, read readAnswer) (*greeting, error) {
	hctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &handshakes{c: c, message: message, read: read, slots: make(chan struct{}, 2), reading: make(chan struct{}, 1), found: make(chan struct{})}
	known := c.known()
	if !c.o.OnlyRelay {
		if p := c.d.routes.peer(c.key); p.path != PathLAN || !c.o.NoLAN {
			s.peer = p.addr
		}
	}
	if s.peer.IsValid() {
		s.wg.Go(func() { s.try(hctx, s.peer) })
	}
	if len(known) > 0 {
		s.wg.Go(func() {
			if s.peer.IsValid() && !c.wait(hctx, peerLead) {
				return
			}
			for _, a := range known {
				s.try(hctx, a)
			}
		})
	}
	var searchErr error
	s.wg.Go(func() { searchErr = s.search(hctx, known) })
	all := make(chan struct{})
	go func() { s.wg.Wait(); close(all) }()
	select {
	case <-s.found:
	case <-all:
	case <-ctx.Done():
	}
	cancel()
	<-all
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.greeting != nil:
		c.remember(s)
		return s.greeting, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case searchErr != nil:
		return nil, searchErr
	case len(s.asked) > 0:
		return nil, ErrConnectFailed
	}
	return nil, ErrPeerNotFound
}

// known returns nodes that may know the peer.
func (c *dialer) known() []netip.AddrPort {
	if _, ok := c.d.node.PersistentID(); ok {
		if _, r, ok := c.d.router.get(time.Now(), c.target); ok && r.relay.IsValid() {
			return []netip.AddrPort{r.relay}
		}
	}
	if len(c.o.RelayAddresses) > 0 {
		return c.o.RelayAddresses
	}
	return c.d.routes.nodesOf(c.key)
}

func (c *dialer) remember(s *handshakes) {
	addrs := s.greeting.payload.relays
	if len(addrs) == 0 {
		addrs = s.asked
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return a == s.peer })
	c.d.routes.setNodes(c.key, addrs[:min(len(addrs), maxRelays)])
}

// handshakes is the race for the first answer.
type handshakes struct {
	c       *dialer
	message []byte
	read    readAnswer
	peer    netip.AddrPort // where the peer itself was lately
	slots   chan struct{}
	// reading is held while an answer is read.
	reading chan struct{}
	wg      sync.WaitGroup

	mu       sync.Mutex // guards what follows
	asked    []netip.AddrPort
	greeting *greeting
	err      error         // the peer has refused
	found    chan struct{} // closed with greeting or err
}

// search asks the nodes that have a record of the peer.
func (s *handshakes) search(ctx context.Context, known []netip.AddrPort) error {
	if err := s.c.d.ready(ctx); err != nil {
		return err
	}
	if (len(known) > 0 || s.peer.IsValid()) && !s.c.wait(ctx, searchDelay) {
		return nil
	}
	for i := range 2 {
		q := dhtrpc.Query{Target: s.c.target, Command: cmdFindPeer, Retries: 3}
		if i == 0 && len(known) > 0 {
			q.Nodes = known
		} else if i == 1 && len(known) == 0 {
			return nil
		}
		for r, err := range s.c.d.node.Query(ctx, &q) {
			if err != nil {
				return err
			}
			if r.Value == nil || !s.reserve(r.From) {
				continue
			}
			select {
			case s.slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			s.wg.Go(func() {
				s.ask(ctx, r.From)
				<-s.slots
			})
		}
		if s.done() {
			return nil
		}
	}
	return nil
}

// done tells whether an answer was good, or a refusal.
func (s *handshakes) done() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.greeting != nil || s.err != nil
}

// reserve notes that a node is asked; false if it was before.
func (s *handshakes) reserve(a netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.asked, a) {
		return false
	}
	s.asked = append(s.asked, a)
	return true
}

func (s *handshakes) try(ctx context.Context, a netip.AddrPort) {
	if usable(a) && s.reserve(a) {
		s.ask(ctx, a)
	}
}

// ask sends the handshake through one node.
func (s *handshakes) ask(ctx context.Context, node netip.AddrPort) {
	c := s.c
	socket := c.d.socket()
	h := handshake{mode: fromClient, noise: s.message}
	r, err := c.d.node.Request(ctx, dhtrpc.Call{To: node, Command: cmdHandshake, Target: &c.target, Value: h.appendTo(nil), Socket: socket})
	if err != nil || r.Value == nil {
		return
	}
	a, err := decodeHandshake(r.Value)
	if err != nil || a.mode != reply || len(a.noise) == 0 {
		return
	}
	// One answer is read at a time, which may wait for a delegate.
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return
	}
	if s.done() {
		return
	}
	p, session, err := s.read(a.noise)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p.version != payloadVersion || p.err != errorNone:
		s.err = fmt.Errorf("%w: version %d, code %d", ErrRefused, p.version, p.err)
	case p.udx == nil:
		s.err = fmt.Errorf("%w: it speaks no udx", ErrRefused)
	default:
		g := &greeting{payload: p, session: session, socket: socket, node: node, server: node, client: r.To, noise: bytes.Clone(a.noise)}
		if a.peer.IsValid() {
			g.server, g.relayed = a.peer, true
		}
		s.greeting = g
	}
	close(s.found)
}

type readAnswer func(noise []byte) (*payload, *secretstream.Session, error)

// A way tries to make the link ready and returns when it cannot any more. Its
// context ends when the link is direct.
type way func(context.Context) error

var errNoPath = errors.New("hyperdht: no path")

// ways returns what may lead to the peer. All are gone at once.
func (c *dialer) ways(g *greeting) []way {
	var ways []way
	p := g.payload
	switch {
	case p.through != nil:
		ways = append(ways, func(context.Context) error { return c.link.relayThrough(p.through.key, p.through.token, false) })
	case c.o.RelayThrough != nil:
		ways = append(ways, func(context.Context) error { return c.link.relayThrough(*c.o.RelayThrough, c.token, true) })
	}
	if c.o.OnlyRelay {
		return ways
	}
	return append(ways, c.directWays(g)...)
}

// directWays returns those that need no relay.
func (c *dialer) directWays(g *greeting) []way {
	var ways []way
	p := g.payload
	punchable := p.punch != nil && len(p.punch.relays) > 0
	switch {
	case !g.relayed:
		return append(ways, c.dialAt(g.socket, g.node))
	case p.firewall == firewallOpen || !punchable:
		to := g.server
		for _, a := range p.addresses4 {
			if usable(a) && !isBogon(a.Addr()) {
				to = a
				break
			}
		}
		return append(ways, c.dialAt(c.d.socket(), to))
	case c.open:
		return append(ways, func(ctx context.Context) error {
			if c.wait(ctx, passiveWait) {
				return fmt.Errorf("%w: the peer does not connect", ErrConnectFailed)
			}
			return nil
		})
	}
	if !c.o.NoLAN && g.client.Addr() == g.server.Addr() {
		ways = append(ways, func(ctx context.Context) error { return c.lan(ctx, p.addresses4) })
	}
	return append(ways, func(ctx context.Context) error { return c.punch(ctx, g) })
}

// dialAt makes an address the remote; whether it is the peer shows.
func (c *dialer) dialAt(s *udx.Socket, to netip.AddrPort) way {
	return func(ctx context.Context) error {
		if !usable(to) || s == nil {
			return errNoPath
		}
		c.link.use(s, to, c.link.kindOf(to))
		return nil
	}
}

// lan tries the peer's address on the local network.
func (c *dialer) lan(ctx context.Context, theirs []netip.AddrPort) error {
	theirs = slices.DeleteFunc(slices.Clone(theirs), func(a netip.AddrPort) bool { return !usable(a) || isReserved(a.Addr()) })
	if len(theirs) == 0 {
		return errNoPath
	}
	addr, ok := nearest(c.d.localAddrs(), theirs)
	if !ok {
		addr = theirs[0]
	}
	if _, err := c.d.node.Ping(ctx, addr); err != nil {
		return fmt.Errorf("%w: local network: %w", ErrConnectFailed, err)
	}
	server, _ := c.d.sockets()
	c.link.use(server, addr, PathLAN)
	return nil
}

// wait waits and tells whether the time is over with ctx still running.
func (c *dialer) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
