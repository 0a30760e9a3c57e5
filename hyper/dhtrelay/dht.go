package dhtrelay

import (
	"context"
	"iter"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// DHT makes a HyperDHT node a [Node].
func DHT(d *hyperdht.DHT) Node { return dht{d} }

type dht struct{ d *hyperdht.DHT }

// rawChunk is how much of a stream is read at a time.
const rawChunk = 64 << 10

// rawStream reads a stream in pieces; where one ends means nothing.
type rawStream struct {
	*hyperdht.RawConn
	buf []byte
}

func (s *rawStream) ReadFrame() ([]byte, error) {
	n, err := s.Read(s.buf)
	if n > 0 {
		return s.buf[:n], nil
	}
	return nil, err
}

// HandshakeHash is not asked: the client has it.
func (s *rawStream) HandshakeHash() [64]byte { return [64]byte{} }

func raw(c *hyperdht.RawConn) Stream { return &rawStream{c, make([]byte, rawChunk)} }

func (n dht) Connect(ctx context.Context, key Identity, remote hypercrypto.PublicKey) (Stream, error) {
	if key.KeyPair == nil {
		c, err := n.d.ConnectFor(ctx, key.Delegate, remote, nil)
		if err != nil {
			return nil, err
		}
		return raw(c), nil
	}
	c, err := n.d.Connect(ctx, remote, &hyperdht.ConnectOptions{KeyPair: key.KeyPair})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (n dht) Listen(ctx context.Context, key Identity, admit AdmitFunc) (Server, error) {
	if key.KeyPair == nil {
		s, err := n.d.ListenFor(ctx, key.Delegate, nil)
		if err != nil {
			return nil, err
		}
		accept := func(ctx context.Context) (Stream, hyperdht.Handshake, error) {
			c, err := s.Accept(ctx)
			if err != nil {
				return nil, nil, err
			}
			return raw(c), c.Handshake(), nil
		}
		return &dhtServer{n.d, accept, s.Close}, nil
	}
	s, err := n.d.Listen(ctx, key.KeyPair, &hyperdht.ServerOptions{Admit: admit})
	if err != nil {
		return nil, err
	}
	accept := func(ctx context.Context) (Stream, hyperdht.Handshake, error) {
		c, err := s.Accept(ctx)
		if err != nil {
			return nil, nil, err
		}
		return c, nil, nil
	}
	return &dhtServer{n.d, accept, s.Close}, nil
}

// dhtServer is a server of either kind.
type dhtServer struct {
	d      *hyperdht.DHT
	accept func(context.Context) (Stream, hyperdht.Handshake, error)
	close  func() error
}

func (s *dhtServer) Accept(ctx context.Context) (Stream, hyperdht.Handshake, error) {
	return s.accept(ctx)
}

func (s *dhtServer) Addr() netip.AddrPort { return s.d.Status().Address }

func (s *dhtServer) Close() error { return s.close() }

func (n dht) Lookup(ctx context.Context, topic [32]byte) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		for r, err := range n.d.Lookup(ctx, topic, nil) {
			if !yield(reply(r), err) || err != nil {
				return
			}
		}
	}
}

func (n dht) Announce(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		o := hyperdht.AnnounceOptions{Found: func(r hyperdht.Result) {
			if ctx.Err() == nil && !yield(reply(r), nil) {
				cancel()
			}
		}}
		var err error
		if key.KeyPair != nil {
			_, err = n.d.Announce(ctx, topic, key.KeyPair, &o)
		} else {
			_, err = n.d.AnnounceFor(ctx, topic, key.Delegate, &o)
		}
		if err != nil && ctx.Err() == nil {
			yield(Reply{}, err)
		}
	}
}

func (n dht) Unannounce(ctx context.Context, topic [32]byte, key Identity) (err error) {
	if key.KeyPair != nil {
		return n.d.Unannounce(ctx, topic, key.KeyPair, nil)
	}
	return n.d.UnannounceFor(ctx, topic, key.Delegate, nil)
}

func reply(r hyperdht.Result) Reply {
	out := Reply{Peers: r.Peers, From: Contact{ID: r.ID, Addr: r.From}, To: Contact{Addr: r.To}}
	if r.Token != nil {
		out.Token = *r.Token
	}
	return out
}
