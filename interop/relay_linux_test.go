package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/dhtrelay"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// relayLab is a network of JavaScript nodes with a relay of ours in it.
type relayLab struct {
	js        *Node
	bootstrap string
	url       string
}

func newRelayLab(t testing.TB) *relayLab {
	t.Helper()
	l := &relayLab{js: StartNode(t, "", "relay-net.js")}
	l.bootstrap = l.js.Event(t, "ready").Str("bootstrap")
	relay := dhtrelay.New(dhtrelay.DHT(l.node(t)), nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: relay}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(listener)
	}()
	t.Cleanup(func() {
		relay.Close()
		srv.Close()
		<-done
	})
	l.url = "ws://" + listener.Addr().String()
	return l
}

// node starts a node of ours.
func (l *relayLab) node(t testing.TB) *hyperdht.DHT {
	t.Helper()
	d, err := hyperdht.New(&hyperdht.Options{Bootstrap: []string{l.bootstrap}, Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// client starts an unchanged JavaScript client of the relay.
func (l *relayLab) client(t testing.TB, mode string) *Node {
	t.Helper()
	c := StartNode(t, "", "relay-client.js", l.url, mode)
	c.Event(t, "ready")
	return c
}

// checkClientEcho has a client connect to a server that echoes.
func checkClientEcho(t testing.TB, c *Node, key string) {
	t.Helper()
	if r := c.Call(t, "echo", Args{"key": key, "text": "hello"}); r.Str("echo") != "hello" {
		t.Errorf("echo %v", r)
	}
	const size = 3 << 20
	if r := c.Call(t, "echo", Args{"key": key, "seed": 5, "size": size, "piece": 60000}); r.Num("size") != size || !r.Bool("same") {
		t.Errorf("echo of %d bytes: %v", size, r)
	}
}

var relayModes = []string{"custodial", "own"}

func TestRelayClientsConnect(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newRelayLab(t)
	key := listenEcho(t, l.node(t))
	theirs := l.js.Call(t, "listen", nil).Str("key")
	for _, mode := range relayModes {
		t.Run(mode, func(t *testing.T) {
			c := l.client(t, mode)
			t.Log("to a JavaScript server")
			checkClientEcho(t, c, theirs)
			t.Log("to a server of ours")
			checkClientEcho(t, c, key)
			if _, err := c.Go("echo", Args{"key": fmt.Sprintf("%064x", 7), "text": "x"}).Result(); err == nil {
				t.Error("connected to nobody")
			}
		})
	}
}

func TestRelayClientsListen(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newRelayLab(t)
	ours := l.node(t)
	for _, mode := range relayModes {
		t.Run(mode, func(t *testing.T) {
			c := l.client(t, mode)
			on := c.Call(t, "listen", Args{"name": "open"})
			if on.Str("host") != "127.0.0.1" || on.Num("port") == 0 {
				t.Errorf("listening at %v", on)
			}
			key := on.Str("key")
			r := l.js.Call(t, "echo", Args{"key": key, "text": "from JavaScript"})
			if r.Str("echo") != "from JavaScript" {
				t.Errorf("echo %v", r)
			}
			if e := c.Event(t, "firewall"); e.Str("remote") != r.Str("key") {
				t.Errorf("firewall %v instead of %v", e, r.Str("key"))
			}
			if e := c.Event(t, "connection"); e.Str("remote") != r.Str("key") {
				t.Errorf("connection %v instead of %v", e, r.Str("key"))
			}
			conn, err := ours.Connect(t.Context(), dhtKey(t, key), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkStreamEcho(conn, 2<<20); err != nil {
				t.Error(err)
			}
			conn.Close()
			// Other clients of the same relay, of both kinds.
			for _, other := range relayModes {
				checkClientEcho(t, l.client(t, other), key)
			}

			refusing := c.Call(t, "listen", Args{"name": "refusing", "refuse": true}).Str("key")
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := ours.Connect(ctx, dhtKey(t, refusing), nil)
				failed <- err
			}()
			c.Next(t, "the firewall question", func(e Event) bool {
				own := ours.KeyPair().Public
				return e.Str("event") == "firewall" && e.Str("name") == "refusing" && e.Str("remote") == fmt.Sprintf("%x", own[:])
			})
			cancel()
			if err := <-failed; err == nil {
				t.Error("a refused peer is connected")
			}

			c.Call(t, "close", Args{"name": "open"})
			if conn, err := ours.Connect(t.Context(), dhtKey(t, key), nil); err == nil {
				conn.Close()
				t.Error("a closed server accepts")
			}
		})
	}
}

func TestRelayClientsAnnounce(t *testing.T) {
	if !alone(t) {
		return
	}
	l := newRelayLab(t)
	ours := l.node(t)
	for i, mode := range relayModes {
		t.Run(mode, func(t *testing.T) {
			topic := hypercrypto.Sum([]byte{byte(i)})
			c := l.client(t, mode)
			args := Args{"topic": topic.String()}
			find := func() (ourView, jsView []string) {
				for r, err := range ours.Lookup(t.Context(), hyperdht.Topic(topic), nil) {
					if err != nil {
						t.Fatal(err)
					}
					for _, p := range r.Peers {
						ourView = append(ourView, fmt.Sprintf("%x", p.PublicKey[:]))
					}
				}
				return ourView, texts(l.js.Call(t, "lookup", args).List("keys"))
			}
			key := c.Call(t, "announce", args).Str("key")
			a, b := find()
			if !slices.Contains(a, key) || !slices.Contains(b, key) {
				t.Errorf("announced %s; we find %v, JavaScript finds %v", key, a, b)
			}

			other := hypercrypto.NewKeyPair()
			if _, err := ours.Announce(t.Context(), hyperdht.Topic(topic), other, nil); err != nil {
				t.Fatal(err)
			}
			third := l.js.Call(t, "announce", args).Str("key")
			found := texts(c.Call(t, "lookup", args).List("keys"))
			for _, want := range []string{key, fmt.Sprintf("%x", other.Public[:]), third} {
				if !slices.Contains(found, want) {
					t.Errorf("the client finds %v, not %s", found, want)
				}
			}

			c.Call(t, "unannounce", args)
			if a, b = find(); slices.Contains(a, key) || slices.Contains(b, key) {
				t.Errorf("unannounced %s; we find %v, JavaScript finds %v", key, a, b)
			}
		})
	}
}

// checkStreamEcho sends bytes and wants them back.
func checkStreamEcho(c *hyperdht.Conn, size int) error {
	const piece = 64 << 10
	sent := make(chan error, 1)
	go func() {
		for range size / piece {
			if _, err := c.Write(make([]byte, piece)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	got := 0
	for got < size {
		m, err := c.ReadFrame()
		if err != nil {
			return fmt.Errorf("echo after %d bytes: %w", got, err)
		}
		got += len(m)
	}
	if got != size {
		return errors.New("more came back than was sent")
	}
	return <-sent
}

// listenEcho opens a server of ours that sends back what comes and ends when its
// client does. It returns the key.
func listenEcho(t testing.TB, d *hyperdht.DHT) string {
	t.Helper()
	s, err := d.Listen(t.Context(), hypercrypto.NewKeyPair(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		s.Close()
	})
	wg.Go(func() {
		for {
			c, err := s.Accept(ctx)
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				defer c.Close()
				for {
					m, err := c.ReadFrame()
					if err == io.EOF && c.CloseWrite() == nil {
						_ = c.Linger(ctx)
					}
					if err != nil {
						return
					}
					if _, err := c.Write(m); err != nil {
						return
					}
				}
			})
		}
	})
	key := s.PublicKey()
	return fmt.Sprintf("%x", key[:])
}
