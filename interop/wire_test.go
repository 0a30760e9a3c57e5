package interop

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// The two towers meet here: neither package imports the other.
var _ protomux.Stream = (*secretstream.Conn)(nil)

func TestFramesHaveTheRoomThatEncryptionNeeds(t *testing.T) {
	if protomux.Headroom != secretstream.Headroom ||
		protomux.Tailroom < secretstream.Tailroom || protomux.MaxFrame != secretstream.MaxMessage {
		t.Errorf("protomux leaves %d and %d bytes around %d, secretstream needs %d and %d around %d",
			protomux.Headroom, protomux.Tailroom, protomux.MaxFrame,
			secretstream.Headroom, secretstream.Tailroom, secretstream.MaxMessage)
	}
}

// secure makes a connection with the named Noise role for our side.
func secure(t *testing.T, raw net.Conn, initiator bool, opts *secretstream.Options) *secretstream.Conn {
	t.Helper()
	start := secretstream.Server
	if initiator {
		start = secretstream.Client
	}
	c, err := start(t.Context(), raw, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// role is the Noise role of the other side.
func role(weInitiate bool) string {
	if weInitiate {
		return "responder"
	}
	return "initiator"
}

func dial(t *testing.T, node *Node) net.Conn {
	t.Helper()
	port := node.Event(t, "listening").Num("port")
	raw, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Every combination of TCP and Noise roles carries messages of all sizes, there
// and back.
func TestSecretStreamEchoes(t *testing.T) {
	for _, weDial := range []bool{true, false} {
		for _, weInitiate := range []bool{true, false} {
			t.Run(fmt.Sprintf("dial=%v,initiate=%v", weDial, weInitiate), func(t *testing.T) {
				var raw net.Conn
				var node *Node
				if weDial {
					node = StartNode(t, "", "wire-stream.js", role(weInitiate))
					raw = dial(t, node)
				} else {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
					node = StartNode(t, "", "wire-stream.js", role(weInitiate), strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
					if raw, err = l.Accept(); err != nil {
						t.Fatal(err)
					}
				}
				c := secure(t, raw, weInitiate, &secretstream.Options{KeepAlive: 20 * time.Millisecond})
				echo(t, c)

				open := node.Event(t, "open")
				hash, local, remote := c.HandshakeHash(), c.PublicKey(), c.RemotePublicKey()
				if open.Str("handshakeHash") != hex.EncodeToString(hash[:]) ||
					open.Str("publicKey") != hex.EncodeToString(remote[:]) ||
					open.Str("remotePublicKey") != hex.EncodeToString(local[:]) {
					t.Errorf("the ends do not agree who they are: %v", open)
				}
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if _, err := c.ReadFrame(); err != io.EOF {
					t.Errorf("after the end: %v", err)
				}
				node.Event(t, "close")
			})
		}
	}
}

func echo(t *testing.T, c *secretstream.Conn) {
	t.Helper()
	var sizes []int
	for n := 0; n <= 70000; n += 1 + n/9 {
		sizes = append(sizes, n)
	}
	sizes = append(sizes, 70000, secretstream.MaxMessage, 1)
	data := make([]byte, secretstream.MaxMessage)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	sent := make(chan error, 1)
	go func() {
		for i := 0; i < len(sizes); {
			var frames [][]byte
			for end := min(len(sizes), i+1+i%5); i < end; i++ {
				f := make([]byte, secretstream.Headroom+sizes[i], secretstream.Headroom+sizes[i]+secretstream.Tailroom)
				copy(f[secretstream.Headroom:], data)
				frames = append(frames, f)
			}
			if err := c.WriteFrames(frames); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for _, n := range sizes[1:] { // the empty message is swallowed
		got, err := c.ReadFrame()
		if err != nil || !bytes.Equal(got, data[:n]) {
			t.Fatalf("echo of %d bytes: got %d, %v", n, len(got), err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// wireSide is our side of wire-mux.js.
type wireSide struct {
	t                        *testing.T
	m                        *protomux.Mux
	opened, closed, rejected atomic.Int64
	messages, echoes         atomic.Int64

	mu       sync.Mutex
	channels map[byte]*protomux.Channel // wanted now
}

// open opens a channel unless there is one. onOpen and onEcho may be nil.
func (s *wireSide) open(id byte, onOpen func(*protomux.Channel), onEcho func([]byte)) *protomux.Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[id]; c != nil {
		return c
	}
	isOpen := false
	c, err := s.m.Open(protomux.ChannelOptions{
		Protocol:  "p",
		ID:        []byte{id},
		Handshake: []byte{id},
		OnOpen: func(c *protomux.Channel, handshake []byte) error {
			if !bytes.Equal(handshake, []byte{id}) {
				s.t.Errorf("channel %d got handshake %x", id, handshake)
			}
			isOpen = true
			s.opened.Add(1)
			c.Send(0, []byte{id})
			if onOpen != nil {
				onOpen(c)
			}
			return nil
		},
		Messages: []func(*protomux.Channel, []byte) error{
			func(c *protomux.Channel, body []byte) error {
				s.messages.Add(1)
				c.Send(1, body)
				return nil
			},
			func(c *protomux.Channel, body []byte) error {
				s.echoes.Add(1)
				if onEcho != nil {
					onEcho(body)
				} else if !bytes.Equal(body, []byte{id}) {
					s.t.Errorf("channel %d got echo %x", id, body)
				}
				return nil
			},
		},
		OnClose: func(c *protomux.Channel, remote bool) {
			s.closed.Add(1)
			if remote && !isOpen {
				s.rejected.Add(1)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.channels[id] == c {
				delete(s.channels, id)
			}
		},
	})
	if err != nil {
		return nil // the mux has ended, which Run tells
	}
	s.channels[id] = c
	return c
}

// toggle opens the channel or drops it, whatever state it is in.
func (s *wireSide) toggle(id byte) {
	s.mu.Lock()
	c := s.channels[id]
	delete(s.channels, id)
	s.mu.Unlock()
	if c == nil {
		s.open(id, nil, nil)
	} else {
		c.Close()
	}
}

func startWire(t *testing.T, weInitiate bool, rounds int) (*wireSide, *Node, <-chan error) {
	t.Helper()
	node := StartNode(t, "", "wire-mux.js", role(weInitiate), strconv.Itoa(rounds))
	c := secure(t, dial(t, node), weInitiate, nil)
	s := &wireSide{t: t, m: protomux.New(c, nil), channels: make(map[byte]*protomux.Channel)}
	s.m.Pair("p", nil, func(id []byte) {
		runtime.Gosched()
		if id[0]%4 != 2 {
			s.open(id[0], nil, nil)
		}
	})
	result := make(chan error, 1)
	go func() { result <- s.m.Run(context.Background()) }()
	t.Cleanup(func() { s.m.Close() })
	return s, node, result
}

func await[T any](t *testing.T, node *Node, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waiting for %s\n%s", what, node.Log())
		panic("unreachable")
	}
}

func TestProtomuxCarriesBatchesAndLargeMessages(t *testing.T) {
	for _, weInitiate := range []bool{true, false} {
		s, node, _ := startWire(t, weInitiate, 0)
		opened := make(chan *protomux.Channel, 1)
		echoes := make(chan int, 10000)
		s.open(200, func(c *protomux.Channel) { opened <- c }, func(b []byte) {
			for i := range b[1:] {
				if b[i] != b[0] {
					t.Errorf("byte %d of an echo of %d changed", i, len(b))
					break
				}
			}
			echoes <- len(b)
		})
		s.open(203, nil, nil) // the other side does not want it
		c := await(t, node, "the channel", opened)
		sizes := []int{1} // sent by OnOpen
		s.m.Cork()
		for i := range 5000 {
			n := 1 + i%300
			c.Send(0, bytes.Repeat([]byte{byte(i)}, n))
			sizes = append(sizes, n)
		}
		s.m.Uncork()
		for _, n := range []int{100_000, 300_000, 9 << 20, protomux.MaxMessage, 2} {
			c.SendFunc(0, n/2, func(b []byte) []byte { return append(b, make([]byte, n)...) })
			sizes = append(sizes, n)
		}
		for i, n := range sizes {
			if got := await(t, node, "an echo", echoes); got != n {
				t.Fatalf("echo %d has %d bytes instead of %d", i, got, n)
			}
		}
		// What it does not want it says when it has made up its mind, whatever else goes on.
		for end := time.Now().Add(patience); s.rejected.Load() == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if n := s.rejected.Load(); n != 1 {
			t.Errorf("%d channels rejected", n)
		}
	}
}

// Both sides open and drop 40 channels at random. The JavaScript side ends the
// stream at the first number that breaks its rules.
func TestProtomuxSurvivesRandomOpensAndCloses(t *testing.T) {
	const rounds = 3000
	for _, weInitiate := range []bool{true, false} {
		s, node, result := startWire(t, weInitiate, rounds)
		steady := make(chan *protomux.Channel, 1)
		pongs := make(chan bool, 1)
		s.open(100, func(c *protomux.Channel) {
			c.Send(2, nil)
			steady <- c
		}, func([]byte) { pongs <- true })
		c := await(t, node, "the first channel", steady)
		var theirs Event
		var failed error
		done := make(chan struct{})
		go func() {
			defer close(done)
			theirs, failed = node.Wait(func(e Event) bool { return e.Str("event") == "done" })
		}()
		rnd := rand.New(rand.NewPCG(1, 1))
		// How much meets the other side in time is a matter of chance; both go on until it is enough.
		enough := func() bool { return s.opened.Load() >= rounds/10 && s.echoes.Load() >= rounds/10 }
		end := time.Now().Add(2 * patience)
		for over := false; !over || !enough() && time.Now().Before(end); {
			s.toggle(1 + byte(rnd.IntN(40)))
			// Steps on both sides mix, and some meet on the way.
			if rnd.IntN(3) == 0 {
				await(t, node, "an echo between the rounds", pongs)
				c.Send(0, []byte{100})
			}
			select {
			case <-done:
				over = true
			default:
			}
		}
		if failed != nil {
			t.Fatal(failed)
		}
		// The stream still works.
		again := make(chan bool, 1)
		echoed := make(chan bool, 1)
		s.open(101, func(*protomux.Channel) { again <- true }, func([]byte) { echoed <- true })
		await(t, node, "a channel after all", again)
		await(t, node, "its echo", echoed)
		if !enough() || theirs.Num("opened") < rounds/10 {
			t.Errorf("little happened: opened %d, echoes %d; other side %v", s.opened.Load(), s.echoes.Load(), theirs)
		}
		t.Logf("opened %d, closed %d, rejected %d, messages %d, echoes %d; other side %v",
			s.opened.Load(), s.closed.Load(), s.rejected.Load(), s.messages.Load(), s.echoes.Load(), theirs)
		s.m.Close()
		if err := <-result; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}
