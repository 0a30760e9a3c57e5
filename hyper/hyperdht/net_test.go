package hyperdht

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/simnet"
)

// world is a simulated network with DHT nodes on its Internet.
type world struct {
	t     *testing.T
	net   *simnet.Network
	dhts  []*DHT
	homes []*simnet.Router
	boot  string
	took  time.Duration // the last successful dial
}

// inWorld runs f on a network of count public nodes under a fake clock.
func inWorld(t *testing.T, count int, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: simnet.New(1)}
		defer w.close()
		for i := range count {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{50, 1, byte(i / 250), byte(1 + i%250)}), 49737)
			w.public(a, nil)
		}
		f(w)
	})
}

func (w *world) close() {
	for i := len(w.dhts) - 1; i >= 0; i-- {
		w.dhts[i].Close()
	}
	w.net.Close()
}

func slow(h *simnet.Host) { h.SetLink(simnet.Link{Delay: 5 * time.Millisecond}) }

// public starts a persistent node at an address of the Internet; the first is
// the bootstrap node.
func (w *world) public(a netip.AddrPort, o *Options) *DHT {
	w.t.Helper()
	h := w.net.Host(a.Addr())
	slow(h)
	var c Options
	if o != nil {
		c = *o
	}
	c.Listen = netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())
	c.Transport, c.LocalAddrs = h.Listen, h.Addrs
	var d *DHT
	var err error
	if w.boot == "" {
		w.boot = a.String()
		d, err = NewBootstrapper(a, &c)
	} else {
		c.Bootstrap, c.Role, c.Reach = []string{w.boot}, Persistent, Open
		d, err = New(&c)
	}
	return w.started(d, err)
}

// node starts an ordinary node on a host.
func (w *world) node(h *simnet.Host) *DHT {
	w.t.Helper()
	slow(h)
	d, err := New(&Options{Bootstrap: []string{w.boot}, Transport: h.Listen, LocalAddrs: h.Addrs})
	return w.started(d, err)
}

func (w *world) started(d *DHT, err error) *DHT {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	w.dhts = append(w.dhts, d)
	if err := d.Ready(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// home is a network behind a NAT.
func (w *world) home(i byte, nat simnet.NAT) *simnet.Router {
	r := w.net.Router(netip.AddrFrom4([4]byte{60, 1, 1, i}), nat)
	w.homes = append(w.homes, r)
	return r
}

func local(net, host byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, net, host}) }

// echo runs a server that sends back what it gets.
func (w *world) echo(d *DHT, o *ServerOptions) *Server {
	w.t.Helper()
	s, err := d.Listen(w.t.Context(), hypercrypto.NewKeyPair(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	go serveEcho(s)
	return s
}

func serveEcho(s *Server) {
	for {
		c, err := s.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			for {
				m, err := c.ReceiveUnordered(context.Background())
				if err != nil {
					return
				}
				_ = c.SendUnordered(m)
			}
		}()
		go func() {
			defer c.Close()
			buf := make([]byte, 1<<16)
			for {
				n, err := c.Read(buf)
				if err == io.EOF {
					_ = c.CloseWrite()
					continue
				}
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// check sends something over an echo connection and wants it back.
func (w *world) check(c *Conn) {
	w.t.Helper()
	if err := roundTrip(c, 50000); err != nil {
		w.t.Fatal(err)
	}
}

func roundTrip(c *Conn, size int) error {
	want := bytes.Repeat([]byte("echo "), size/5)
	go func() { _, _ = c.Write(want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the echo is not the same")
	}
	return nil
}

// punch connects. Where ports are guessed, one of a thousand tries finds none, so there
// are three.
func punch[C any](w *world, dial func() (C, error)) C {
	w.t.Helper()
	for tries := 1; ; tries++ {
		start := time.Now()
		c, err := dial()
		w.took = time.Since(start)
		if err == nil {
			return c
		}
		if tries == 3 || !errors.Is(err, ErrHolepunch) {
			w.t.Fatalf("try %d, after %v: %v", tries, w.took, err)
		}
		time.Sleep(time.Minute) // random punches have to wait for one another
	}
}

func (w *world) connect(d *DHT, s *Server, o *ConnectOptions) *Conn {
	w.t.Helper()
	c := punch(w, func() (*Conn, error) { return d.Connect(w.t.Context(), s.PublicKey(), o) })
	w.t.Logf("%v after %v", c.Path(), w.took)
	if c.RemotePublicKey() != s.PublicKey() {
		w.t.Fatal("the connection is to another peer")
	}
	return c
}

func TestPublicPeersConnect(t *testing.T) {
	inWorld(t, 10, func(w *world) {
		s := w.echo(w.dhts[3], nil)
		c := w.connect(w.dhts[7], s, nil)
		w.check(c)
		if err := c.SendUnordered([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if m, err := c.ReceiveUnordered(w.t.Context()); err != nil || string(m) != "hello" {
			t.Errorf("%q %v", m, err)
		}
		c.Close()
		if _, err := w.dhts[7].Connect(w.t.Context(), hypercrypto.NewKeyPair().Public, nil); err == nil {
			t.Error("connected to nobody")
		}
	})
}
