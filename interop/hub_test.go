package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
)

// link says who dials and who starts the Noise handshake; the two are independent.
type link struct {
	weListen, weInitiate bool
}

func (r link) String() string {
	s := "we dial"
	if r.weListen {
		s = "we listen"
	}
	if r.weInitiate {
		return s + ", noise initiator"
	}
	return s + ", noise responder"
}

var (
	dialing = link{weInitiate: true}
	links   = []link{dialing, {}, {weListen: true}, {weListen: true, weInitiate: true}}
)

// hub keeps our connections to peers on 127.0.0.1. serve runs each until its stream ends.
type hub struct {
	serve func(ctx context.Context, conn *secretstream.Conn) error
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	lastErr error
}

func newHub(t testing.TB, serve func(ctx context.Context, conn *secretstream.Conn) error) *hub {
	h := &hub{serve: serve, conns: map[net.Conn]struct{}{}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	t.Cleanup(h.close)
	return h
}

// close ends all connections and waits for them.
func (h *hub) close() {
	h.stop()
	h.cut()
	h.wg.Wait()
}

// run does the handshake on raw and serves it.
func (h *hub) run(raw net.Conn, initiator bool) error {
	h.mu.Lock()
	h.conns[raw] = struct{}{}
	h.mu.Unlock()
	defer func() {
		raw.Close()
		h.mu.Lock()
		delete(h.conns, raw)
		h.mu.Unlock()
	}()
	handshake := secretstream.Server
	if initiator {
		handshake = secretstream.Client
	}
	conn, err := handshake(h.ctx, raw, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return h.serve(h.ctx, conn)
}

func (h *hub) start(raw net.Conn, initiator bool) {
	h.wg.Go(func() {
		err := h.run(raw, initiator)
		h.mu.Lock()
		h.lastErr = err
		h.mu.Unlock()
	})
}

// listen takes connections until the test ends.
func (h *hub) listen(t testing.TB, initiator bool) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(h.ctx, func() { l.Close() })
	h.wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			h.start(raw, initiator)
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// dial makes one connection.
func (h *hub) dial(t testing.TB, port uint64, initiator bool) {
	t.Helper()
	raw, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	h.start(raw, initiator)
}

// keep dials, and dials again whenever the connection ends, until stop is called or the test ends.
func (h *hub) keep(port uint64, initiator bool) (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	h.wg.Go(func() {
		for ctx.Err() == nil {
			raw, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				h.run(raw, initiator)
			}
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond): // a peer that is down needs no storm of dials
			}
		}
	})
	return cancel
}

// cut drops all connections at once.
func (h *hub) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		c.Close()
	}
}

// err returns how the last connection ended, for failure messages.
func (h *hub) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(h.lastErr, context.Canceled) {
		return nil
	}
	return h.lastErr
}

// connect connects us to a peer in the given roles.
func (h *hub) connect(t testing.TB, n *Node, r link) {
	t.Helper()
	if r.weListen {
		n.Call(t, "connect", Args{"port": h.listen(t, r.weInitiate), "initiator": !r.weInitiate})
		return
	}
	port := n.Call(t, "listen", Args{"initiator": !r.weInitiate}).Num("port")
	h.dial(t, port, r.weInitiate)
}

// eventually waits for something that is going to be true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !ok(); {
		if time.Now().After(until) {
			t.Fatalf("after %v: not %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
