package hyperdht

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// ServerOptions configures [DHT.Listen]. The zero value is ready to use and
// accepts everybody.
type ServerOptions struct {
	// Allow decides whether a peer with a proven key may connect. from is where
	// its handshake came from; the peer itself has not yet shown that it
	// receives there. Who is refused gets no answer. Nil allows all. It may be
	// called concurrently.
	Allow func(remote hypercrypto.PublicKey, from netip.AddrPort) bool
	// Admit is asked after Allow and may wait; payload is what the peer says of
	// itself in the handshake. Nil admits all. It may be called concurrently.
	Admit func(ctx context.Context, remote hypercrypto.PublicKey, payload []byte) bool
	// RelayThrough is the key of a relay that peers may use as long as there is
	// no direct path.
	RelayThrough *hypercrypto.PublicKey
	// OnlyRelay accepts connections through a relay only, which either side may
	// name, and tells no address of this machine. The nodes that the server is
	// announced at still see where it is, and by the protocol tell the peers.
	OnlyRelay bool
	// NoLAN tells no local addresses.
	NoLAN bool
	// NoPunch punches no holes: only peers that can reach this node, or that it
	// can reach, get through.
	NoPunch bool
}

const (
	// acceptBacklog is how many connections wait for Accept.
	acceptBacklog = 128
	// handshakeMemory is how long a handshake is remembered after its end, so
	// that a late copy of it gets the same answer.
	handshakeMemory = 10 * time.Second
	// maxRemembered bounds how many are.
	maxRemembered = 32768
	// incomingWait is how long a peer has to send its first packet.
	incomingWait = 10 * time.Second
)

// Server accepts connections for one key pair.
type Server struct {
	d      *DHT          // set once
	o      ServerOptions // set once
	own    identity      // set once
	target dhtrpc.ID     // set once
	ann    *announcer    // set once
	conns  chan *Conn

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu        sync.Mutex // guards what follows
	suspended bool
	incoming  map[string]*incoming // by the client's message
	ended     []*incoming          // of incoming, in the order of their end
	slots     []*incoming          // by the number that hole punch rounds name
}

// Listen makes this node reachable under the public key of a key pair: it
// announces itself at the nodes nearest to the key, which pass handshakes on. It
// returns when that is done or has failed; without any node the server still
// answers who knows its address. ctx bounds the wait only.
func (d *DHT) Listen(ctx context.Context, kp *hypercrypto.KeyPair, o *ServerOptions) (*Server, error) {
	if kp == nil {
		kp = d.o.KeyPair
	}
	return d.listenAs(ctx, identity{keyPair: kp}, o)
}

func (d *DHT) listenAs(ctx context.Context, own identity, o *ServerOptions) (*Server, error) {
	s := &Server{d: d, own: own, target: targetOf(own.public()), conns: make(chan *Conn, acceptBacklog), incoming: make(map[string]*incoming)}
	if o != nil {
		s.o = *o
	}
	s.ctx, s.cancel = context.WithCancel(d.ctx)
	s.ann = newAnnouncer(d, own, s.target)
	if err := d.usable(); err != nil {
		s.cancel()
		return nil, err
	}
	if !d.router.addServer(s) {
		s.cancel()
		return nil, ErrKeyInUse
	}
	d.mu.Lock()
	d.servers[s] = true
	d.mu.Unlock()
	// Handshakes are answered from now on.
	first := make(chan struct{})
	s.ann.start(first)
	select {
	case <-first:
		return s, nil
	case <-ctx.Done():
		s.Close()
		return nil, context.Cause(ctx)
	}
}

// Accept returns the next connection.
func (s *Server) Accept(ctx context.Context) (*Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// PublicKey is the key that peers connect to.
func (s *Server) PublicKey() hypercrypto.PublicKey { return s.own.public() }

// Address returns the key with the nodes that relay to this server now.
func (s *Server) Address() Address {
	return Address{PublicKey: s.own.public(), Nodes: s.RelayAddresses()}
}

// RelayAddresses returns the nodes that relay to this server now, its own
// address first if it is reachable. Announcements of topics carry them.
func (s *Server) RelayAddresses() []netip.AddrPort {
	_, addrs := s.ann.state()
	return addrs
}

// Refresh announces the server again soon: the network has changed.
func (s *Server) Refresh() { s.ann.refresh() }

// Close withdraws the announcements and stops listening. Accepted connections
// live on; others are ended.
func (s *Server) Close() error {
	s.d.mu.Lock()
	was := !s.d.servers[s]
	delete(s.d.servers, s)
	s.d.mu.Unlock()
	if was {
		return nil
	}
	s.d.router.removeServer(s)
	s.cancel()
	ctx, cancel := context.WithTimeout(s.d.ctx, closePatience)
	defer cancel()
	s.ann.stop(ctx)
	s.forgetAll()
	s.dropAccepted()
	return nil
}

// dropAccepted ends the connections that nobody will accept.
func (s *Server) dropAccepted() {
	for {
		select {
		case c := <-s.conns:
			c.drop()
		default:
			return
		}
	}
}

func (s *Server) suspend(ctx context.Context) {
	s.mu.Lock()
	s.suspended = true
	s.mu.Unlock()
	s.forgetAll()
	ctx, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	s.ann.stop(ctx)
}

func (s *Server) resume() {
	s.mu.Lock()
	s.suspended = false
	s.mu.Unlock()
	if s.ctx.Err() == nil {
		s.ann.start(make(chan struct{}))
	}
}

// forgetAll ends all incoming handshakes.
func (s *Server) forgetAll() {
	s.mu.Lock()
	all := s.incoming
	s.incoming = make(map[string]*incoming)
	s.ended, s.slots = nil, nil
	s.mu.Unlock()
	for _, in := range all {
		in.giveUp(ErrClosed)
	}
}

// forgetOldLocked drops handshakes whose time is over, and more if there are
// too many. mu must be held.
func (s *Server) forgetOldLocked(now time.Time) {
	n := 0
	for n < len(s.ended) && (now.Sub(s.ended[n].endedAt) > handshakeMemory || len(s.ended)-n > maxRemembered) {
		in := s.ended[n]
		s.ended[n] = nil
		if s.incoming[in.key] == in {
			delete(s.incoming, in.key)
		}
		n++
	}
	s.ended = s.ended[n:]
}

// ending starts the time for which a handshake is remembered.
func (s *Server) ending(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.incoming[in.key] == in && in.endedAt.IsZero() {
		in.endedAt = time.Now()
		s.ended = append(s.ended, in)
	}
}

// takeSlot gives in the lowest free number.
func (s *Server) takeSlot(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.slots {
		if other == nil {
			in.slot = i
			s.slots[i] = in
			return
		}
	}
	in.slot = len(s.slots)
	s.slots = append(s.slots, in)
}

func (s *Server) freeSlot(in *incoming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.slot >= 0 && in.slot < len(s.slots) && s.slots[in.slot] == in {
		s.slots[in.slot] = nil
	}
	for len(s.slots) > 0 && s.slots[len(s.slots)-1] == nil {
		s.slots = s.slots[:len(s.slots)-1]
	}
}
