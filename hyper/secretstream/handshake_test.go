package secretstream

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/noise"
)

// script is a stream whose input is known beforehand and whose output is kept.
type script struct {
	mu     sync.Mutex
	in     io.Reader
	out    bytes.Buffer
	writes int
	closed bool
}

func (s *script) Read(p []byte) (int, error) { return s.in.Read(p) }

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.out.Write(p)
}

func (s *script) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// oneByte returns one byte per read.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// The whole byte streams of a session recorded from the JavaScript side, in both
// roles, whatever the boundaries of reads.
func TestRecordedSession(t *testing.T) {
	v := loadVectors(t).TCP
	var fromInitiator, fromResponder []byte
	for _, f := range v.HandshakeFrames {
		if f.From == "initiator" {
			fromInitiator = append(fromInitiator, unhex(t, f.Frame)...)
		} else {
			fromResponder = append(fromResponder, unhex(t, f.Frame)...)
		}
	}
	fromInitiator = append(fromInitiator, unhex(t, v.InitiatorHeaderFrame)...)
	fromResponder = append(fromResponder, unhex(t, v.ResponderHeaderFrame)...)
	for _, m := range v.InitiatorMessages {
		fromInitiator = append(fromInitiator, unhex(t, m.Frame)...)
	}
	for _, m := range v.ResponderMessages {
		fromResponder = append(fromResponder, unhex(t, m.Frame)...)
	}
	repeat := func(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
	for _, role := range []struct {
		name                    string
		start                   func(context.Context, io.ReadWriteCloser, *Options) (*Conn, error)
		in, out                 []byte
		static, ephemeral, head byte
		send, receive           []struct{ Plain, Frame string }
	}{
		{"initiator", Client, fromResponder, fromInitiator, 1, 3, 0xa1, v.InitiatorMessages, v.ResponderMessages},
		{"responder", Server, fromInitiator, fromResponder, 2, 4, 0xb2, v.ResponderMessages, v.InitiatorMessages},
	} {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprint(role.name, slow), func(t *testing.T) {
				s := &script{in: bytes.NewReader(role.in)}
				if slow {
					s.in = oneByte{s.in}
				}
				c, err := role.start(context.Background(), s, &Options{
					KeyPair: hypercrypto.KeyPairFromSeed([32]byte(repeat(role.static, 32))),
					random:  bytes.NewReader(append(repeat(role.ephemeral, 32), repeat(role.head, headerSize)...)),
				})
				if err != nil {
					t.Fatal(err)
				}
				var frames [][]byte
				for _, m := range role.send {
					frames = append(frames, frame(unhex(t, m.Plain)))
				}
				if err := c.WriteFrames(frames); err != nil {
					t.Fatal(err)
				}
				for _, m := range role.receive {
					if m.Plain == "" {
						continue
					}
					got, err := c.ReadFrame()
					if err != nil || hex.EncodeToString(got) != m.Plain {
						t.Fatalf("received %x, %v; want %s", got, err, m.Plain)
					}
				}
				if _, err := c.ReadFrame(); err != io.EOF {
					t.Errorf("at the end: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.out.Bytes(), role.out) {
					t.Errorf("sent\n%x, want\n%x", s.out.Bytes(), role.out)
				}
				if s.writes > 3 {
					t.Errorf("%d writes", s.writes)
				}
			})
		}
	}
}

func TestUnorderedVectors(t *testing.T) {
	v := loadVectors(t).Send
	hash := (*[64]byte)(unhex(t, v.HandshakeHash))
	sides := map[string]*Unordered{"initiator": NewUnordered(hash, true), "responder": NewUnordered(hash, false)}
	if got := hex.EncodeToString(sides["initiator"].sendKey[:]); got != v.InitiatorSecret {
		t.Errorf("initiator key %s", got)
	}
	if got := hex.EncodeToString(sides["responder"].sendKey[:]); got != v.ResponderSecret {
		t.Errorf("responder key %s", got)
	}
	for _, m := range v.Messages {
		from, to := sides["initiator"], sides["responder"]
		if m.From == "responder" {
			from, to = to, from
		}
		from.counter = [8]byte(unhex(t, m.Counter))
		from.counter[0]-- // a step comes before the use
		packet, err := from.Seal([]byte{9}, unhex(t, m.Plain))
		if err != nil || hex.EncodeToString(packet[1:]) != m.Envelope {
			t.Fatalf("packet %x, %v; want %s", packet, err, m.Envelope)
		}
		packet = packet[1:]
		if plain, ok := to.Open(nil, packet); !ok || hex.EncodeToString(plain) != m.Plain {
			t.Errorf("opened to %x, %v", plain, ok)
		}
		if _, ok := from.Open(nil, packet); ok {
			t.Error("sender accepts its own packet")
		}
		for i := range packet {
			packet[i] ^= 1
			if _, ok := to.Open(nil, packet); ok {
				t.Errorf("changed byte %d accepted", i)
			}
			if _, ok := to.Open(nil, packet[:i]); ok {
				t.Errorf("packet of %d bytes accepted", i)
			}
			packet[i] ^= 1
		}
	}
	u := NewUnordered(hash, true)
	u.counter = u.start
	for i := range u.counter {
		if u.counter[i]--; u.counter[i] != 0xff {
			break
		}
	}
	if _, err := u.Seal(nil, nil); err != ErrExhausted {
		t.Errorf("last counter: %v", err)
	}
}

func TestUnexpectedKeyEndsTheHandshake(t *testing.T) {
	refuse := errors.New("refuse")
	for name, o := range map[string]*Options{
		"key":    {RemotePublicKey: &hypercrypto.PublicKey{1}},
		"verify": {Verify: func(hypercrypto.PublicKey) error { return refuse }},
	} {
		want := ErrRemoteKey
		if name == "verify" {
			want = refuse
		}
		for _, clientChecks := range []bool{true, false} {
			a, b := net.Pipe()
			serverErr := make(chan error, 1)
			co, so := o, (*Options)(nil)
			if !clientChecks {
				co, so = nil, o
			}
			go func() {
				_, err := Server(context.Background(), b, so)
				serverErr <- err
			}()
			_, err := Client(context.Background(), a, co)
			if clientChecks {
				if !errors.Is(err, want) {
					t.Errorf("%s: client: %v", name, err)
				}
				// The server never saw message 3.
				if err := <-serverErr; !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: server: %v", name, err)
				}
			} else if err := <-serverErr; !errors.Is(err, want) {
				t.Errorf("%s: server: %v", name, err)
			}
		}
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	for _, start := range []func(context.Context, io.ReadWriteCloser, *Options) (*Conn, error){Client, Server} {
		a, b := net.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := start(ctx, a, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Write([]byte{1}); err == nil {
			t.Error("the stream is still open")
		}
	}
}

func TestBadHandshakesFail(t *testing.T) {
	good := noiseMessage(t)
	for name, in := range map[string][]byte{
		"empty":       {},
		"short":       good[:20],
		"wrong size":  {31, 0, 0},
		"huge":        {0xff, 0xff, 0xff},
		"bad point":   append([]byte{32, 0, 0}, make([]byte, 32)...),
		"no answer":   good,
		"bad message": append(bytes.Clone(good), append([]byte{64, 0, 0}, make([]byte, 64)...)...),
	} {
		s := &script{in: bytes.NewReader(in)}
		if _, err := Server(context.Background(), s, nil); err == nil || !s.closed {
			t.Errorf("%s: %v, closed %v", name, err, s.closed)
		}
	}
}

// noiseMessage returns the unit of a good first message.
func noiseMessage(t testing.TB) []byte {
	h, err := noise.NewXX(noise.Config{Initiator: true, Static: hypercrypto.NewKeyPair()})
	if err != nil {
		t.Fatal(err)
	}
	unit, err := handshakeUnit(h)
	if err != nil {
		t.Fatal(err)
	}
	return unit
}

// FuzzServer feeds the handshake with arbitrary bytes.
func FuzzServer(f *testing.F) {
	f.Add(noiseMessage(f))
	f.Add([]byte{32, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		s := &script{in: bytes.NewReader(in)}
		if _, err := Server(context.Background(), s, nil); err == nil {
			t.Fatal("handshake succeeded")
		}
		if !s.closed {
			t.Error("stream not closed")
		}
	})
}

func BenchmarkConnect(b *testing.B) {
	for b.Loop() {
		x, y := net.Pipe()
		connect(b, x, y, nil, nil)
	}
}
