package dhtrelay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// patience bounds waits that end at once in a healthy run.
const patience = 60 * time.Second

// memory is a listener without sockets.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case m.conns <- a:
		return b, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lab is a relay over a fake network.
type lab struct {
	t     *testing.T
	dht   *fakeDHT
	relay *Relay
	net   *memory
}

func newLab(t *testing.T, opts *Options) *lab {
	l := &lab{t: t, dht: newFakeDHT(t), net: &memory{conns: make(chan net.Conn), closed: make(chan struct{})}}
	l.relay = New(l.dht, opts)
	srv := &http.Server{Handler: l.relay}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l.net)
	}()
	t.Cleanup(func() {
		l.relay.Close()
		srv.Close()
		<-done
		if l.dht.open != 0 {
			t.Errorf("%d streams are not closed", l.dht.open)
		}
		if len(l.dht.servers) != 0 {
			t.Errorf("%d servers are not closed", len(l.dht.servers))
		}
		if n := l.relay.buffered.Load(); n != 0 {
			t.Errorf("%d bytes are held for nobody", n)
		}
	})
	return l
}

// listen opens a server of the network itself, not through the relay.
func (l *lab) listen(kp *hypercrypto.KeyPair) Server {
	l.t.Helper()
	srv, err := l.dht.Listen(context.Background(), Identity{KeyPair: kp}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { srv.Close() })
	return srv
}

func (l *lab) accept(srv Server) Stream {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := srv.Accept(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

// received is a message from the relay.
type received struct {
	typ int
	m   codec
}

// wsClient is a client that shows every message.
type wsClient struct {
	t       *testing.T
	ws      *transport
	mux     *protomux.Mux
	channel *protomux.Channel
	in      chan received
	done    chan struct{}
	err     error // valid when done
}

// clone keeps what was decoded from a body that is about to change.
func clone(typ int, body []byte) (codec, error) {
	m := codecs[typ]()
	return m, unmarshal(bytes.Clone(body), m)
}

func (l *lab) dialWS() (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tr := &http.Transport{DialContext: l.net.dial, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	return websocket.Dial(ctx, "ws://relay/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
}

// dial connects a client.
func (l *lab) dial() *wsClient {
	l.t.Helper()
	conn, _, err := l.dialWS()
	if err != nil {
		l.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	c := &wsClient{t: l.t, in: make(chan received, 4096), done: make(chan struct{})}
	timer := time.NewTimer(time.Hour)
	c.ws = &transport{conn: conn, stall: time.Hour, limit: 1 << 30, pace: func() error { return nil }, hold: func(int) error { return nil }, timer: timer}
	c.mux = protomux.New(c.ws, nil)
	h := make([]func(*protomux.Channel, []byte) error, typeCount)
	for typ := range h {
		h[typ] = func(_ *protomux.Channel, body []byte) error {
			m, err := clone(typ, body)
			if err != nil {
				return err
			}
			switch typ {
			case typePing:
				c.send(typePong, empty{})
				return nil
			case typePong:
				return nil
			}
			c.in <- received{typ, m}
			return nil
		}
	}
	c.channel, err = c.mux.Open(protomux.ChannelOptions{Protocol: protocol, Messages: h})
	if err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		c.err = c.mux.Run(context.Background())
	}()
	l.t.Cleanup(c.close)
	return c
}

func (c *wsClient) close() {
	c.mux.Close()
	<-c.done
}

func (c *wsClient) send(typ int, m message) { c.channel.SendFunc(typ, 64, m.appendTo) }

// hello sends the first message.
func (c *wsClient) hello(kp *hypercrypto.KeyPair, custodial bool) *wsClient {
	c.send(typeHandshake, &handshake{keyOf(kp, custodial)})
	return c
}

func keyOf(kp *hypercrypto.KeyPair, custodial bool) identity {
	i := identity{public: kp.Public}
	if custodial {
		i.secret = kp.Secret()
	}
	return i
}

// next returns the next message, which must be of that type.
func next[M codec](c *wsClient) M {
	c.t.Helper()
	select {
	case r := <-c.in:
		m, ok := r.m.(M)
		if !ok {
			c.t.Fatalf("got %T %+v instead of %T", r.m, r.m, m)
		}
		return m
	case <-c.done:
		c.t.Fatalf("the relay hung up: %v", c.err)
	case <-time.After(patience):
		c.t.Fatal("nothing came")
	}
	panic("unreachable")
}

// status waits until the relay hangs up and returns why.
func (c *wsClient) status() websocket.StatusCode {
	c.t.Helper()
	for {
		select {
		case <-c.in:
		case <-c.done:
			var e websocket.CloseError
			errors.As(c.err, &e)
			return e.Code
		case <-time.After(patience):
			c.t.Fatal("the relay does not hang up")
		}
	}
}

func (c *wsClient) sendText(a alias, pieces ...string) { c.send(typeData, dataOf(a, pieces...)) }

func dataOf(a alias, all ...string) *data {
	b := compact.AppendUint(nil, uint64(len(all)))
	for _, p := range all {
		b = compact.AppendString(b, p)
	}
	return &data{alias: a, pieces: b}
}
