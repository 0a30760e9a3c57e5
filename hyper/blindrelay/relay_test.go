package blindrelay_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindrelay"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/udx"
)

// secure makes a pair of encrypted connections.
func secure(t *testing.T) (client, server *secretstream.Conn) {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan *secretstream.Conn)
	go func() {
		c, err := secretstream.Server(context.Background(), b, nil)
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	client, err := secretstream.Client(t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client, <-done
}

type peer struct {
	client *blindrelay.Client
	socket *udx.Socket
	stream *udx.Stream
}

// world is a relay on loopback.
type world struct {
	relay *blindrelay.Server
	addr  netip.AddrPort
}

func newWorld(t *testing.T, o blindrelay.ServerOptions) *world {
	t.Helper()
	tr := udx.NewTransport(nil)
	t.Cleanup(func() { tr.Close() })
	s, err := tr.Listen(netip.MustParseAddrPort("127.0.0.1:0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.NewStream = tr.NewStream
	return &world{blindrelay.NewServer(o), s.LocalAddr()}
}

func (w *world) peer(t *testing.T) *peer {
	t.Helper()
	c, s := secure(t)
	key := s.RemotePublicKey()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = w.relay.Serve(context.Background(), s, key[:])
	}()
	client, err := blindrelay.NewClient(c, key[:])
	if err != nil {
		t.Fatal(err)
	}
	tr := udx.NewTransport(nil)
	p := &peer{client: client}
	if p.socket, err = tr.Listen(netip.MustParseAddrPort("127.0.0.1:0"), nil); err != nil {
		t.Fatal(err)
	}
	if p.stream, err = tr.NewStream(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); <-served; tr.Close() })
	return p
}

func (p *peer) pair(ctx context.Context, w *world, initiator bool, token blindrelay.Token) error {
	id, err := p.client.Pair(ctx, initiator, token, p.stream.ID())
	if err != nil {
		return err
	}
	return p.stream.Connect(p.socket, id, w.addr)
}

// pairs waits until the relay holds so many pairs.
func (w *world) pairs(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		waiting, joined := w.relay.Pairs()
		if waiting+joined == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d waiting, %d joined, want %d", waiting, joined, want)
		}
	}
}

func TestPeersMeetAtTheRelay(t *testing.T) {
	w := newWorld(t, blindrelay.ServerOptions{})
	a, b := w.peer(t), w.peer(t)
	token := blindrelay.Token{1}
	done := make(chan error, 1)
	go func() { done <- a.pair(t.Context(), w, true, token) }()
	if err := b.pair(t.Context(), w, false, token); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// What the first side sends before the relay knows the second is not lost.
	if _, err := a.stream.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if _, err := b.stream.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    *peer
		want string
	}{{b, "hello"}, {a, "world"}} {
		buf := make([]byte, 5)
		if _, err := io.ReadFull(c.p.stream, buf); err != nil || string(buf) != c.want {
			t.Fatalf("%q %v", buf, err)
		}
	}
	if waiting, joined := w.relay.Pairs(); waiting != 0 || joined != 1 {
		t.Errorf("%d waiting, %d joined", waiting, joined)
	}
	// The pair ends with one of its connections.
	a.client.Close()
	w.pairs(t, 0)
}

func TestRelayIsBounded(t *testing.T) {
	w := newWorld(t, blindrelay.ServerOptions{MaxPairs: 5, MaxPerConn: 3})
	a, b := w.peer(t), w.peer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 10 {
		for j, p := range []*peer{a, b} {
			go func() { _, _ = p.client.Pair(ctx, true, blindrelay.Token{byte(i), byte(j)}, 1) }()
		}
	}
	w.pairs(t, 5)
}

func TestPairEndsWithItsContext(t *testing.T) {
	w := newWorld(t, blindrelay.ServerOptions{})
	a := w.peer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.client.Pair(ctx, true, blindrelay.Token{1}, 1); err == nil {
		t.Error("paired with nobody")
	}
	w.pairs(t, 0)
}
