package protomux

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// sink is a stream that takes everything and gives nothing.
type sink struct {
	closed chan struct{}
	bytes  atomic.Int64
}

func (s *sink) IsInitiator() bool                      { return true }
func (s *sink) HandshakeHash() (h [64]byte)            { return h }
func (s *sink) RemotePublicKey() hypercrypto.PublicKey { return hypercrypto.PublicKey{} }

func (s *sink) ReadFrame() ([]byte, error) {
	<-s.closed
	return nil, context.Canceled
}

func (s *sink) WriteFrames(frames [][]byte) error {
	for _, f := range frames {
		s.bytes.Add(int64(len(f)))
	}
	return nil
}

func (s *sink) Close() error {
	close(s.closed)
	return nil
}

func BenchmarkSend(b *testing.B) {
	for _, n := range []int{16, 100, 4096, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := New(&sink{closed: make(chan struct{})}, nil)
			run(b, m)
			c := open(b, m, ChannelOptions{Protocol: "p"})
			body := make([]byte, n)
			enc := func(b []byte) []byte { return append(b, body...) }
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				c.SendFunc(0, n, enc)
				for !c.Drained() {
					if err := m.Flush(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// batchFrame returns a batch of messages for channel 1.
func batchFrame(t testing.TB, messages, size int) []byte {
	var q queue
	for range messages {
		q.begin(1, 0, size)
		q.buf = append(q.buf, make([]byte, size)...)
		if !q.end() {
			t.Fatal("too large")
		}
	}
	q.finish()
	return q.frames[0][Headroom:]
}

func decoder(t testing.TB, count *int) *Mux {
	m := New(&sink{closed: make(chan struct{})}, nil)
	open(t, m, ChannelOptions{Protocol: "p", Messages: []func(*Channel, []byte) error{func(_ *Channel, body []byte) error {
		*count++
		return nil
	}}})
	if err := m.handle(unhex(t, "0001 01 01 70 00")); err != nil {
		t.Fatal(err)
	}
	return m
}

func BenchmarkReceive(b *testing.B) {
	const perBatch = 1000
	count := 0
	m := decoder(b, &count)
	frame := batchFrame(b, perBatch, 100)
	b.SetBytes(100)
	b.ReportAllocs()
	for i := 0; i < b.N; i += perBatch {
		if err := m.handle(frame); err != nil {
			b.Fatal(err)
		}
	}
	if count < b.N {
		b.Fatalf("%d messages of %d", count, b.N)
	}
}

func TestMessagesDoNotAllocate(t *testing.T) {
	count := 0
	m := decoder(t, &count)
	frame := batchFrame(t, 100, 100)
	if n := testing.AllocsPerRun(100, func() {
		if err := m.handle(frame); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per batch received", n)
	}
	if count != 101*100 {
		t.Errorf("%d messages", count)
	}

	var q queue
	body := make([]byte, 100)
	if n := testing.AllocsPerRun(1000, func() {
		q.begin(1, 0, len(body))
		q.buf = append(q.buf, body...)
		q.end()
		q.frames, q.buffers = q.frames[:0], q.buffers[:0]
	}); n != 0 {
		t.Errorf("%v allocations per message sent", n)
	}
}
