package hyperdht

import (
	"context"
	"errors"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// Delegate acts for a key pair that this node does not have: its owner runs
// handshakes and signs announcements somewhere else, and so do the keys of its
// connections stay there. Its methods may be called concurrently.
type Delegate interface {
	// PublicKey is the key it acts for.
	PublicKey() hypercrypto.PublicKey
	// Handshake begins a Noise IK handshake with the prologue of this package.
	Handshake(initiator bool) Handshake
	// Sign returns the signature of an announcement.
	Sign(ctx context.Context, r SignRequest) ([64]byte, error)
}

// SignRequest is what the signature of an announcement covers, beside the key it
// is for.
type SignRequest struct {
	Unannounce bool             // to withdraw it
	Target     [32]byte         // topic, or hash of the key
	Node       [32]byte         // id of the storing node
	Token      [32]byte         // given by the node
	Relays     []netip.AddrPort // of the announced peer, in this order
}

// Handshake is a Noise IK handshake that is run elsewhere: one message in each
// direction, whose payloads are made and read here. It is used by one goroutine
// at a time.
type Handshake interface {
	// Send returns the next message, which carries payload.
	Send(ctx context.Context, payload []byte) (message []byte, err error)
	// Receive checks the other side's message and returns its payload. An error
	// refuses the connection.
	Receive(ctx context.Context, message []byte) (payload []byte, err error)
	// RemotePublicKey is who the other side has proven to be. A responder knows
	// it after Receive.
	RemotePublicKey() hypercrypto.PublicKey
	// HolepunchSecret is known after both messages.
	HolepunchSecret() [32]byte
	// RemoteStreamID is what a responder's peer begins its stream with.
	RemoteStreamID() [32]byte
}

// ConnectFor connects in the name of a delegate. The connection is handed out as
// soon as there is a path: whether the peer is at its end shows to the delegate
// only.
func (d *DHT) ConnectFor(ctx context.Context, g Delegate, key hypercrypto.PublicKey, o *ConnectOptions) (*RawConn, error) {
	if o == nil {
		o = &ConnectOptions{}
	}
	conn, err := d.connect(ctx, identity{delegate: g}, key, o)
	if err != nil {
		return nil, err
	}
	return &RawConn{conn}, nil
}

// ListenFor makes this node reachable under the key of a delegate; otherwise it
// is like [DHT.Listen].
func (d *DHT) ListenFor(ctx context.Context, g Delegate, o *ServerOptions) (*RawServer, error) {
	s, err := d.listenAs(ctx, identity{delegate: g}, o)
	if err != nil {
		return nil, err
	}
	return &RawServer{s}, nil
}

// AnnounceFor is [DHT.Announce] for a delegate.
func (d *DHT) AnnounceFor(ctx context.Context, topic Topic, g Delegate, o *AnnounceOptions) (int, error) {
	return d.announce(ctx, topic, identity{delegate: g}, o)
}

// UnannounceFor is [DHT.Unannounce] for a delegate.
func (d *DHT) UnannounceFor(ctx context.Context, topic Topic, g Delegate, search *Search) error {
	return d.unannounce(ctx, topic, identity{delegate: g}, search)
}

// RawServer accepts connections for a delegate.
type RawServer struct{ s *Server }

// Accept returns the next connection.
func (r *RawServer) Accept(ctx context.Context) (*RawConn, error) {
	c, err := r.s.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return &RawConn{c}, nil
}

// Close withdraws the announcements and stops listening. Accepted connections
// live on.
func (r *RawServer) Close() error { return r.s.Close() }

// RawConn is a byte stream whose encryption is the business of a delegate. One
// goroutine reads while another writes.
type RawConn struct{ c *Conn }

// Handshake returns the delegate's handshake that the connection came out of.
func (r *RawConn) Handshake() Handshake { return r.c.link.delegated }

// RemotePublicKey is the identity of the other side.
func (r *RawConn) RemotePublicKey() hypercrypto.PublicKey {
	return r.c.link.delegated.RemotePublicKey()
}

// Read reads what has arrived. The error is io.EOF when the other side has ended.
func (r *RawConn) Read(p []byte) (int, error) { return r.c.link.raw.Read(p) }

// Write sends p, waiting while the other side does not read.
func (r *RawConn) Write(p []byte) (int, error) { return r.c.link.raw.Write(p) }

// CloseWrite tells the other side that nothing follows.
func (r *RawConn) CloseWrite() error { return r.c.link.raw.CloseWrite() }

// Close ends the connection at once; see [Conn.Linger].
func (r *RawConn) Close() error { return r.c.link.raw.Close() }

// Linger is [Conn.Linger].
func (r *RawConn) Linger(ctx context.Context) error { return r.c.Linger(ctx) }

// Linger waits until both sides have ended and the other has all that was
// written. Close after CloseWrite would cut that off.
func (c *Conn) Linger(ctx context.Context) error {
	select {
	case <-c.link.stream.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drop ends a connection that nobody wants.
func (c *Conn) drop() { c.link.abort(ErrClosed) }

// identity is the key that this node acts for: its own, or a delegate's.
type identity struct {
	keyPair  *hypercrypto.KeyPair
	delegate Delegate
}

func (i identity) public() hypercrypto.PublicKey {
	if i.delegate != nil {
		return i.delegate.PublicKey()
	}
	return i.keyPair.Public
}

// sign signs and encodes an announcement.
func (i identity) sign(ctx context.Context, a *announcement, unannounce bool, target, node *dhtrpc.ID, token *[32]byte) ([]byte, error) {
	if i.delegate == nil {
		ns := &nsAnnounce
		if unannounce {
			ns = &nsUnannounce
		}
		return a.sign(i.keyPair, ns, target, node, token), nil
	}
	s, err := i.delegate.Sign(ctx, SignRequest{Unannounce: unannounce, Target: *target, Node: *node, Token: *token, Relays: a.peer.Relays})
	if err != nil {
		return nil, err
	}
	a.signature = &s
	return a.appendTo(nil), nil
}

// delegatedInitiator makes the first message of a delegate's handshake.
func delegatedInitiator(ctx context.Context, g Delegate, p *payload) (*initiator, error) {
	h := g.Handshake(true)
	m, err := h.Send(ctx, p.appendTo(nil))
	if err != nil {
		return nil, err
	}
	return &initiator{ctx: ctx, delegated: h, message: m}, nil
}

var errDelegate = errors.New("hyperdht: delegate refuses")

// readDelegated takes the server's reply.
func (i *initiator) readDelegated(message []byte) (*payload, *secretstream.Session, error) {
	plain, err := i.delegated.Receive(i.ctx, message)
	if err != nil {
		return nil, nil, err
	}
	p, err := decodePayload(plain)
	return p, &secretstream.Session{Initiator: true, RemotePublicKey: i.delegated.RemotePublicKey()}, err
}

// delegatedResponder reads the client's message.
func delegatedResponder(ctx context.Context, g Delegate, message []byte) (*responder, *payload, error) {
	h := g.Handshake(false)
	plain, err := h.Receive(ctx, message)
	if err != nil {
		return nil, nil, err
	}
	p, err := decodePayload(plain)
	return &responder{ctx: ctx, delegated: h, payload: plain, remote: h.RemotePublicKey()}, p, err
}

func (r *responder) writeDelegated(p *payload) ([]byte, *secretstream.Session, error) {
	message, err := r.delegated.Send(r.ctx, p.appendTo(nil))
	if err == nil && len(message) == 0 {
		err = errDelegate
	}
	return message, &secretstream.Session{RemotePublicKey: r.remote}, err
}

// punchCipher returns what protects hole punching between the ends of the link.
func (l *link) punchCipher(session *secretstream.Session) *punchCipher {
	if l.delegated == nil {
		return newPunchCipher(&session.HandshakeHash)
	}
	c := newPunchCipher(&session.HandshakeHash)
	c.key = l.delegated.HolepunchSecret()
	return c
}

// isHeader tells whether the bytes are what the other side sends first.
func (l *link) isHeader(head []byte, session *secretstream.Session) bool {
	if l.delegated == nil {
		return secretstream.IsHeaderOf(head, session)
	}
	id := l.delegated.RemoteStreamID()
	return string(head[:3]) == "\x38\x00\x00" && string(head[3:3+len(id)]) == string(id[:])
}
