package protomux

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// end is one end of an in-memory stream. Frames are copied, so that a mux that
// keeps using a buffer it has given away is found out.
type end struct {
	initiator bool
	in, out   chan []byte
	closed    chan struct{} // this end
	peer      chan struct{} // the other end
	once      *sync.Once
	last      []byte
}

func streamPair(depth int) (a, b *end) {
	ab, ba := make(chan []byte, depth), make(chan []byte, depth)
	ac, bc := make(chan struct{}), make(chan struct{})
	a = &end{initiator: true, in: ba, out: ab, closed: ac, peer: bc, once: new(sync.Once)}
	b = &end{in: ab, out: ba, closed: bc, peer: ac, once: new(sync.Once)}
	return a, b
}

func (e *end) IsInitiator() bool                      { return e.initiator }
func (e *end) HandshakeHash() (h [64]byte)            { return h }
func (e *end) RemotePublicKey() hypercrypto.PublicKey { return hypercrypto.PublicKey{} }
func (e *end) Buffered() bool                         { return len(e.in) > 0 }

func (e *end) ReadFrame() ([]byte, error) {
	fill(e.last, 0xee)
	select {
	case f := <-e.in:
		e.last = f
		return f, nil
	case <-e.closed:
		return nil, io.ErrClosedPipe
	case <-e.peer:
		select {
		case f := <-e.in:
			e.last = f
			return f, nil
		default:
			return nil, io.EOF
		}
	}
}

func (e *end) WriteFrames(frames [][]byte) error {
	for _, f := range frames {
		if cap(f)-len(f) < Tailroom || len(f) < Headroom || len(f)-Headroom > MaxFrame {
			panic(fmt.Sprintf("frame of %d bytes, capacity %d", len(f), cap(f)))
		}
		select {
		case e.out <- bytes.Clone(f[Headroom:]):
		case <-e.closed:
			return io.ErrClosedPipe
		case <-e.peer:
			return io.ErrClosedPipe
		}
		fill(f[:len(f)+Tailroom], 0xdd) // contents are destroyed
	}
	return nil
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// fill overwrites b: by doubling, because the race detector looks at every
// single write.
func fill(b []byte, with byte) {
	if len(b) == 0 {
		return
	}
	b[0] = with
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// raw is the side of a test that speaks frames.
type raw struct {
	t *testing.T
	*end
}

func (r raw) send(frames ...string) {
	r.t.Helper()
	for _, f := range frames {
		r.write(unhex(r.t, f))
	}
}

func (r raw) write(frame []byte) {
	r.t.Helper()
	f := append(make([]byte, Headroom, Headroom+len(frame)+Tailroom), frame...)
	if err := r.WriteFrames([][]byte{f}); err != nil {
		r.t.Fatalf("send %x: %v", frame, err)
	}
}

// want reads one frame.
func (r raw) want(frame string) {
	r.t.Helper()
	got, err := r.ReadFrame()
	if err != nil || !bytes.Equal(got, unhex(r.t, frame)) {
		r.t.Fatalf("got frame %x, %v; want %s", got, err, frame)
	}
}

// silent checks that nothing was sent before the answer to an unwanted open,
// which is channel number of this side.
func (r raw) silent(number byte) {
	r.t.Helper()
	r.send(fmt.Sprintf("0001%02x 01 7a 00", number))
	r.want(fmt.Sprintf("0002%02x", number))
}

func (r raw) wantEnd() {
	r.t.Helper()
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return
		}
		r.t.Logf("frame before the end: %x", f)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs m until the test ends and returns the place where its error will be.
func run(t testing.TB, m *Mux) <-chan error {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		result <- m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		wait(t, done)
	})
	return result
}

// against returns a running mux and the frames of its other side.
func against(t *testing.T, opts *Options) (*Mux, raw, <-chan error) {
	a, b := streamPair(1024)
	m := New(a, opts)
	return m, raw{t, b}, run(t, m)
}

// muxes returns two running muxes that are connected.
func muxes(t testing.TB, opts *Options) (a, b *Mux) {
	x, y := streamPair(16)
	a, b = New(x, opts), New(y, opts)
	run(t, a)
	run(t, b)
	return a, b
}

// patience is how long a test waits for what must happen: longer than any
// machine needs, since only a failure takes so long.
const patience = 2 * time.Minute

func wait[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing happened for %v", patience)
		panic("unreachable")
	}
}

// recorder notes what happens to a channel.
type recorder struct {
	events chan string
}

func newRecorder() recorder { return recorder{make(chan string, 10000)} }

func (r recorder) options(protocol string, id []byte) ChannelOptions {
	return ChannelOptions{
		Protocol: protocol,
		ID:       id,
		OnOpen: func(_ *Channel, handshake []byte) error {
			r.events <- fmt.Sprintf("open %x", handshake)
			return nil
		},
		Messages: []func(*Channel, []byte) error{
			func(_ *Channel, body []byte) error {
				r.events <- fmt.Sprintf("0 %x", body)
				return nil
			},
			nil,
			func(_ *Channel, body []byte) error {
				r.events <- fmt.Sprintf("2 %x", body)
				return nil
			},
		},
		OnBatchEnd: func(*Channel) { r.events <- "end" },
		OnDrain:    func(*Channel) { r.events <- "drain" },
		OnClose:    func(_ *Channel, remote bool) { r.events <- fmt.Sprintf("close %v", remote) },
	}
}

// want checks the next events; ends of bursts are skipped.
func (r recorder) want(t testing.TB, events ...string) {
	t.Helper()
	for _, e := range events {
		got := wait(t, r.events)
		for got == "end" && e != "end" {
			got = wait(t, r.events)
		}
		if got != e {
			t.Fatalf("event %q, want %q", got, e)
		}
	}
}

func open(t testing.TB, m *Mux, o ChannelOptions) *Channel {
	t.Helper()
	c, err := m.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
