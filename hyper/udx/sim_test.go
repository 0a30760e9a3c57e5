package udx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/simnet"
	"github.com/tradle/cloudpal/hyper/udx"
)

// node is a host with a transport and two sockets.
type node struct {
	host  *simnet.Host
	tr    *udx.Transport
	socks [2]*udx.Socket
}

func newNode(t testing.TB, seg *simnet.Segment, addr string, o udx.Options) *node {
	t.Helper()
	n := &node{host: seg.Host(netip.MustParseAddr(addr))}
	o.Listen = n.host.Listen
	n.tr = udx.NewTransport(&o)
	t.Cleanup(func() { n.tr.Close() })
	for i := range n.socks {
		s, err := n.tr.Listen(netip.MustParseAddrPort(addr+":0"), nil)
		if err != nil {
			t.Fatal(err)
		}
		n.socks[i] = s
	}
	return n
}

func (n *node) stream(t testing.TB, o *udx.StreamOptions) *udx.Stream {
	t.Helper()
	st, err := n.tr.NewStream(o)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// world is two nodes and a stream between them.
type world struct {
	net  *simnet.Network
	a, b *node
	x, y *udx.Stream
}

func newWorld(t testing.TB, seed uint64, link simnet.Link, o udx.Options) *world {
	t.Helper()
	n := simnet.New(seed)
	t.Cleanup(n.Close)
	w := &world{net: n, a: newNode(t, n.Segment, "1.0.0.1", o), b: newNode(t, n.Segment, "1.0.0.2", o)}
	w.a.host.SetLink(link)
	w.x, w.y = w.a.stream(t, nil), w.b.stream(t, nil)
	w.connect(t)
	return w
}

func (w *world) connect(t testing.TB) {
	t.Helper()
	err := errors.Join(w.x.Connect(w.a.socks[0], w.y.ID(), w.b.socks[0].LocalAddr()),
		w.y.Connect(w.b.socks[0], w.x.ID(), w.a.socks[0].LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
}

// transfer sends n bytes from x to y and returns how long it took.
func (w *world) transfer(t testing.TB, n int) time.Duration {
	t.Helper()
	start := time.Now()
	data := random(n)
	go func() {
		w.x.Write(data)
		w.x.CloseWrite()
	}()
	got, err := io.ReadAll(w.y)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %d of %d bytes, %v, %+v", len(got), n, err, w.x.Stats())
	}
	return time.Since(start)
}

func TestGoodput(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		link  simnet.Link
		bytes int
		least float64 // bytes per second
	}{
		{"100 ms", simnet.Link{Delay: 50 * ms, Rate: 5 << 20}, 20 << 20, 3.5 * (1 << 20)},
		{"100 ms and 2 % loss", simnet.Link{Delay: 50 * ms, Rate: 5 << 20, Loss: .02}, 20 << 20, 3 * (1 << 20)},
		{"100 ms, 2 % loss and jitter", simnet.Link{Delay: 50 * ms, Jitter: 10 * ms, Rate: 5 << 20, Loss: .02}, 20 << 20, 2.5 * (1 << 20)},
		{"1 ms and 2 % loss", simnet.Link{Delay: ms / 2, Rate: 100 << 20, Loss: .02}, 50 << 20, 70 << 20},
		{"10 ms and reordering", simnet.Link{Delay: 5 * ms, Rate: 5 << 20, Reorder: .05}, 20 << 20, 3 * (1 << 20)},
		{"short queue", simnet.Link{Delay: 10 * ms, Rate: 5 << 20, Queue: 30000}, 20 << 20, 2.5 * (1 << 20)},
		{"slow", simnet.Link{Delay: 20 * ms, Rate: 20 << 10}, 200 << 10, 12 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, c.link, udx.Options{})
				d := w.transfer(t, c.bytes)
				rate := float64(c.bytes) / d.Seconds()
				t.Logf("%.2f MiB/s, %+v", rate/(1<<20), w.x.Stats())
				if rate < c.least {
					t.Errorf("%.0f bytes per second, want %.0f", rate, c.least)
				}
			})
		})
	}
}

func TestUnreadDataIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 256 << 10
		w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond}, udx.Options{ReceiveWindow: window, SendBuffer: 64 << 10})
		var wrote int
		var mu sync.Mutex
		go func() {
			for {
				n, err := w.x.Write(make([]byte, 1000))
				mu.Lock()
				wrote += n
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
		time.Sleep(10 * time.Minute) // heartbeats keep it alive
		mu.Lock()
		if wrote < window/2 || wrote > 2*window {
			t.Errorf("%d bytes were taken", wrote)
		}
		before := wrote
		mu.Unlock()
		start := time.Now()
		if _, err := io.ReadFull(w.y, make([]byte, before)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("the window opened after %v", d)
		}
	})
}

// Many streams that nobody reads hold no more than all may together, and all of
// them arrive once they are read.
func TestUnreadDataOfAllStreamsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget, count, size = 4 << 20, 40, 1 << 20
		w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond, Loss: .01}, udx.Options{ReceiveMemory: budget})
		var readers []*udx.Stream
		data := random(size)
		for range count {
			x, y := w.a.stream(t, nil), w.b.stream(t, nil)
			x.Connect(w.a.socks[0], y.ID(), w.b.socks[0].LocalAddr())
			y.Connect(w.b.socks[0], x.ID(), w.a.socks[0].LocalAddr())
			go func() {
				x.Write(data)
				x.CloseWrite()
			}()
			readers = append(readers, y)
		}
		time.Sleep(time.Minute)
		if n := w.b.tr.Received(); n < budget/2 || n > 2*budget {
			t.Errorf("%d bytes are held", n)
		}
		var wg sync.WaitGroup
		for i, y := range readers[1:] {
			wg.Go(func() {
				y.SetReadDeadline(time.Now().Add(10 * time.Minute))
				if got, err := io.ReadAll(y); err != nil || !bytes.Equal(got, data) {
					t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
				}
				y.Close()
			})
		}
		wg.Wait()
		readers[0].Close()
		time.Sleep(time.Second)
		if n := w.b.tr.Received(); n != 0 {
			t.Errorf("%d bytes are held although everything is read", n)
		}
	})
}

func TestALostPeerTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond}, udx.Options{})
		w.x.Write([]byte("x"))
		io.ReadFull(w.y, make([]byte, 1))
		w.a.host.SetLink(simnet.Link{Loss: 1})
		start := time.Now()
		w.x.Write([]byte("y"))
		<-w.x.Done()
		if d := time.Since(start); w.x.Err() != udx.ErrTimeout || d < 12*time.Second || d > 20*time.Second {
			t.Errorf("%v after %v", w.x.Err(), d)
		}
	})
}

func TestALostPeerWithAClosedWindowTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond}, udx.Options{ReceiveWindow: 64 << 10})
		go w.x.Write(make([]byte, 1<<20))
		time.Sleep(time.Minute)
		w.a.host.SetLink(simnet.Link{Loss: 1})
		<-w.x.Done()
		if w.x.Err() != udx.ErrTimeout {
			t.Error(w.x.Err())
		}
	})
}

func TestTheRemoteMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: 5 * time.Millisecond, Loss: .02}, udx.Options{})
		w.x.Close()
		w.y.Close()
		changed := make(chan struct{})
		w.x = w.a.stream(t, &udx.StreamOptions{
			OnRemoteChanged: func() { close(changed) },
			Firewall:        func(*udx.Socket, netip.AddrPort) bool { return true },
		})
		w.y = w.b.stream(t, &udx.StreamOptions{Firewall: func(*udx.Socket, netip.AddrPort) bool { return true }})
		w.connect(t)
		go func() {
			time.Sleep(50 * time.Millisecond)
			w.x.ChangeRemote(w.a.socks[1], w.y.ID(), w.b.socks[1].LocalAddr())
			time.Sleep(20 * time.Millisecond)
			w.y.ChangeRemote(w.b.socks[1], w.x.ID(), w.a.socks[1].LocalAddr())
		}()
		w.transfer(t, 8<<20)
		<-changed
		if got := w.x.RemoteAddrPort(); got != w.b.socks[1].LocalAddr() {
			t.Errorf("sends to %v", got)
		}
	})
}

// follow returns the options of a stream that follows its remote.
func follow(st **udx.Stream) *udx.StreamOptions {
	return &udx.StreamOptions{Firewall: func(s *udx.Socket, from netip.AddrPort) bool { return (*st).Follow(s, from) }}
}

func TestARemoteIsFollowedToItsNewAddress(t *testing.T) {
	for _, mover := range []string{"the writer", "the reader"} {
		t.Run(mover, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, simnet.Link{Delay: 5 * time.Millisecond, Rate: 1 << 20, Loss: .01}, udx.Options{ReceiveWindow: 64 << 10})
				w.x.Close()
				w.y.Close()
				ox, oy := follow(&w.x), follow(&w.y)
				ox.KeepAlive, oy.KeepAlive = 3*time.Second, 3*time.Second
				w.x, w.y = w.a.stream(t, ox), w.b.stream(t, oy)
				// On all addresses that the hosts have at any time.
				anywhere := netip.MustParseAddrPort("0.0.0.0:77")
				sx, err := w.a.tr.Listen(anywhere, nil)
				if err != nil {
					t.Fatal(err)
				}
				sy, err := w.b.tr.Listen(anywhere, nil)
				if err != nil {
					t.Fatal(err)
				}
				w.x.Connect(sx, w.y.ID(), netip.MustParseAddrPort("1.0.0.2:77"))
				w.y.Connect(sy, w.x.ID(), netip.MustParseAddrPort("1.0.0.1:77"))
				host, other := w.b.host, w.x
				if mover == "the writer" {
					host, other = w.a.host, w.y
				}
				go func() {
					for i := range byte(3) {
						time.Sleep(7 * time.Second)
						host.Move(w.net.Segment, netip.AddrFrom4([4]byte{1, 0, 0, 9 + i}))
					}
				}()
				w.transfer(t, 40<<20)
				if got := other.RemoteAddrPort().Addr(); got != host.Addrs()[0] {
					t.Errorf("the stream goes to %v", got)
				}
			})
		})
	}
}

// A forged source leads a stream away only while its remote is silent, for no
// more than a few packets, and not for long.
func TestAForgedSourceHasLittleEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: 5 * time.Millisecond}, udx.Options{})
		w.x.Close()
		w.y.Close()
		w.x, w.y = w.a.stream(t, follow(&w.x)), w.b.stream(t, follow(&w.y))
		w.connect(t)
		spy := newNode(t, w.net.Segment, "1.0.0.66", udx.Options{})
		var toSpy atomic.Int64
		w.net.SetFilter(func(_, to netip.AddrPort, data []byte) bool {
			if to == spy.socks[0].LocalAddr() {
				toSpy.Add(int64(len(data)))
			}
			return true
		})
		lure := spy.stream(t, nil)
		lure.Connect(spy.socks[0], w.x.ID(), w.a.socks[0].LocalAddr())

		talk := func() {
			t.Helper()
			w.y.Write([]byte("y"))
			if _, err := io.ReadFull(w.x, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		talk()
		lure.SendMessage(nil)
		time.Sleep(100 * time.Millisecond)
		if got := w.x.RemoteAddrPort(); got != w.b.socks[0].LocalAddr() {
			t.Fatalf("a stream whose remote speaks goes to %v", got)
		}
		time.Sleep(2 * time.Second)
		lure.SendMessage(nil)
		time.Sleep(100 * time.Millisecond)
		if got := w.x.RemoteAddrPort(); got != spy.socks[0].LocalAddr() {
			t.Fatalf("a silent stream goes to %v", got)
		}
		go w.x.Write(make([]byte, 1<<20))
		time.Sleep(2 * time.Second)
		if n := toSpy.Load(); n > 40_000 {
			t.Errorf("%d bytes were sent to a place that acknowledged nothing", n)
		}
		talk()
		if _, err := io.ReadFull(w.y, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if got := w.x.RemoteAddrPort(); got != w.b.socks[0].LocalAddr() {
			t.Errorf("the stream goes to %v", got)
		}
	})
}

func TestStrangersAreNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{}, udx.Options{})
		w.y.Write([]byte("x"))
		io.ReadFull(w.x, make([]byte, 1))
		// The socket beside the right one knows both ids.
		spy := w.b.stream(t, nil)
		spy.Connect(w.b.socks[1], w.x.ID(), w.a.socks[0].LocalAddr())
		spy.Write([]byte("x"))
		spy.Close() // DESTROY
		time.Sleep(time.Second)
		select {
		case <-w.x.Done():
			t.Error("a stranger ended the stream")
		default:
		}
		w.y.Write([]byte("y"))
		got := make([]byte, 1)
		if _, err := io.ReadFull(w.x, got); err != nil || got[0] != 'y' {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestRelaysJoinTheirRemotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond, Loss: .01}, udx.Options{})
		w.x.Close()
		w.y.Close()
		relay := newNode(t, w.net.Segment, "1.0.0.3", udx.Options{})
		learn := func(remote uint32) (st *udx.Stream) {
			st = relay.stream(t, &udx.StreamOptions{Firewall: func(s *udx.Socket, from netip.AddrPort) bool {
				return st.Connect(s, remote, from) == nil
			}})
			return st
		}
		w.x, w.y = w.a.stream(t, nil), w.b.stream(t, nil)
		rx, ry := learn(w.x.ID()), learn(w.y.ID())
		rx.RelayTo(ry)
		ry.RelayTo(rx)
		at := relay.socks[0].LocalAddr()
		w.x.Connect(w.a.socks[0], rx.ID(), at)
		w.y.Connect(w.b.socks[0], ry.ID(), at)
		if err := w.y.SendMessage(nil); err != nil { // lets the relay learn the address
			t.Fatal(err)
		}
		w.transfer(t, 2<<20)
		w.x.Close()
		<-w.y.Done()
		<-rx.Done()
		<-ry.Done()
	})
}

func TestALostLastAcknowledgementIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond}, udx.Options{})
		w.x.CloseWrite()
		time.Sleep(time.Second)
		ends := 0
		w.net.SetFilter(func(from, to netip.AddrPort, data []byte) bool {
			if from == w.a.socks[0].LocalAddr() && data[2] == 0 {
				ends++
				return ends > 1
			}
			return true
		})
		w.y.CloseWrite()
		<-w.x.Done()
		<-w.y.Done()
		if w.x.Err() != nil || w.y.Err() != nil || ends < 2 {
			t.Errorf("%v, %v, %d acknowledgements", w.x.Err(), w.y.Err(), ends)
		}
	})
}

func TestAPathThatBecomesSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, simnet.Link{Delay: 10 * time.Millisecond, Rate: 1 << 20}, udx.Options{})
		go func() {
			time.Sleep(2 * time.Second)
			if w.x.MTU() != 1500 {
				t.Errorf("MTU %d", w.x.MTU())
			}
			w.a.host.SetLink(simnet.Link{Delay: 10 * time.Millisecond, Rate: 1 << 20, MTU: 1280})
		}()
		w.transfer(t, 5<<20)
		if mtu := w.x.MTU(); mtu < 1200 || mtu > 1280 {
			t.Errorf("MTU %d", mtu)
		}
	})
}

func TestMTUIsFound(t *testing.T) {
	for _, size := range []int{1200, 1280, 1400, 1420, 1492, 1500} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1, simnet.Link{Delay: time.Millisecond, Rate: 10 << 20, MTU: size}, udx.Options{})
			w.transfer(t, 4<<20)
			if mtu := w.x.MTU(); mtu > size || mtu < size-32 {
				t.Errorf("found %d of %d", mtu, size)
			}
		})
	}
}

// behave runs random operations on a stream over a random network and compares
// what arrives with what was written.
func behave(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	ms := func(n int) time.Duration { return time.Duration(rng.IntN(n+1)) * time.Millisecond }
	links := func() simnet.Link {
		l := simnet.Link{Delay: ms(60), Jitter: ms(10)}
		if rng.IntN(2) == 0 {
			l.Loss, l.Duplicate, l.Reorder = rng.Float64()*.15, rng.Float64()*.1, rng.Float64()*.2
		}
		if rng.IntN(3) == 0 {
			l.MTU = 1228 + rng.IntN(272)
		}
		if rng.IntN(3) == 0 {
			l.Rate, l.Queue = 50000+rng.IntN(1<<20), 20000+rng.IntN(1<<18)
		}
		return l
	}
	o := udx.Options{ReceiveWindow: 64<<10 + rng.IntN(1<<20), SendBuffer: 4096 + rng.IntN(1<<19)}
	n := simnet.New(seed)
	t.Cleanup(n.Close)
	w := &world{net: n, a: newNode(t, n.Segment, "1.0.0.1", o), b: newNode(t, n.Segment, "1.0.0.2", o)}
	w.a.host.SetLink(links())
	all := &udx.StreamOptions{Firewall: func(*udx.Socket, netip.AddrPort) bool { return true }}
	w.x, w.y = w.a.stream(t, all), w.b.stream(t, all)
	w.connect(t)

	var wg sync.WaitGroup
	half := func(from, to *udx.Stream, seed uint64) {
		size := rng.IntN(1 << uint(8+rng.IntN(13)))
		data := random(size)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 2))
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(1<<uint(rng.IntN(18))))
				if _, err := from.Write(rest[:n]); err != nil {
					t.Errorf("write: %v, %+v", err, from.Stats())
					return
				}
				rest = rest[n:]
				if rng.IntN(20) == 0 {
					time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				}
			}
			if err := from.CloseWrite(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 3))
			var got []byte
			for {
				buf := make([]byte, 1+rng.IntN(1<<uint(rng.IntN(18))))
				n, err := to.Read(buf)
				got = append(got, buf[:n]...)
				if err != nil {
					if err != io.EOF || !bytes.Equal(got, data) {
						t.Errorf("read %d of %d bytes: %v, %+v, %+v", len(got), len(data), err, from.Stats(), to.Stats())
					}
					return
				}
				if rng.IntN(20) == 0 {
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
				}
			}
		})
	}
	half(w.x, w.y, seed+1)
	half(w.y, w.x, seed+2)
	for range rng.IntN(5) {
		time.Sleep(ms(2000))
		switch rng.IntN(3) {
		case 0:
			w.a.host.SetLink(links())
		case 1:
			i, j := rng.IntN(2), rng.IntN(2)
			w.x.ChangeRemote(w.a.socks[i], w.y.ID(), w.b.socks[j].LocalAddr())
			w.y.ChangeRemote(w.b.socks[j], w.x.ID(), w.a.socks[i].LocalAddr())
		case 2:
			w.x.SendMessage([]byte("between"))
		}
	}
	stuck := time.AfterFunc(time.Hour, func() {
		t.Errorf("stuck:\n%s\n\n%s", w.x.Dump(), w.y.Dump())
		w.x.Close()
		w.y.Close()
	})
	wg.Wait()
	<-w.x.Done()
	<-w.y.Done()
	stuck.Stop()
	if w.x.Err() != nil || w.y.Err() != nil {
		t.Errorf("ended with %v and %v", w.x.Err(), w.y.Err())
	}
}

func TestRandomOperationsOnRandomNetworks(t *testing.T) {
	runs := uint64(60)
	if testing.Short() {
		runs = 10
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { behave(t, seed) })
		})
	}
}

// FuzzStreams takes a seed; a failing one can be run again.
func FuzzStreams(f *testing.F) {
	f.Add(uint64(3587)) // a full receiver, much lost
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { behave(t, seed) })
	})
}
