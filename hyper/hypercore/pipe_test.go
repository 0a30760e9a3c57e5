package hypercore

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// pipeEnd is one end of a connection in memory. What was written before one end
// closed can still be read at the other.
type pipeEnd struct {
	initiator bool
	in, out   chan []byte
	own, peer chan struct{} // closed by Close of this and the other end
	once      sync.Once
}

func newPipe() (a, b *pipeEnd) {
	ab, ba := make(chan []byte, 16), make(chan []byte, 16)
	ca, cb := make(chan struct{}), make(chan struct{})
	return &pipeEnd{initiator: true, in: ba, out: ab, own: ca, peer: cb}, &pipeEnd{in: ab, out: ba, own: cb, peer: ca}
}

func (e *pipeEnd) IsInitiator() bool                      { return e.initiator }
func (e *pipeEnd) HandshakeHash() [64]byte                { return [64]byte{7} }
func (e *pipeEnd) RemotePublicKey() hypercrypto.PublicKey { return hypercrypto.PublicKey{} }
func (e *pipeEnd) Buffered() bool                         { return len(e.in) > 0 }

func (e *pipeEnd) ReadFrame() ([]byte, error) {
	select {
	case f := <-e.in:
		return f, nil
	default:
	}
	select {
	case f := <-e.in:
		return f, nil
	case <-e.own:
		return nil, io.ErrClosedPipe
	case <-e.peer:
		select {
		case f := <-e.in:
			return f, nil
		default:
			return nil, io.EOF
		}
	}
}

func (e *pipeEnd) WriteFrames(frames [][]byte) error {
	for _, f := range frames {
		select {
		case e.out <- bytes.Clone(f[protomux.Headroom:]):
		case <-e.own:
			return io.ErrClosedPipe
		case <-e.peer:
			return io.ErrClosedPipe
		}
	}
	return nil
}

func (e *pipeEnd) Close() error {
	e.once.Do(func() { close(e.own) })
	return nil
}

// runMux runs m until it ends; the channel is closed then.
func runMux(m *protomux.Mux) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(context.Background()) // how it ends is not what is tested
	}()
	return done
}

// join connects two logs in memory until stop is called.
func join(t testing.TB, a, b *Core) (stop func()) {
	t.Helper()
	x, y := newPipe()
	ma, mb := protomux.New(x, nil), protomux.New(y, nil)
	if err := a.Replicate(ma); err != nil {
		t.Fatal(err)
	}
	if err := b.Replicate(mb); err != nil {
		t.Fatal(err)
	}
	da, db := runMux(ma), runMux(mb)
	return func() {
		ma.Close()
		mb.Close()
		<-da
		<-db
	}
}
