package dhtrelay

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"
)

// Errors that a [Node] may get from a delegate, and a client as text.
var (
	// ErrRefused: the client does not want the connection.
	ErrRefused = errors.New("dhtrelay: refused by the client")
	// ErrClosed: the client is gone, or the relay was closed.
	ErrClosed = errors.New("dhtrelay: closed")
)

// Relay is an http.Handler: every WebSocket that is opened to it is a client.
type Relay struct {
	node Node
	opts Options

	ctx  context.Context // done when Close was called
	stop context.CancelFunc

	buffered atomic.Int64 // bytes held from all clients

	mu        sync.Mutex // guards the rest
	clients   int
	addresses map[string]int // clients per address
	closed    bool
	wg        sync.WaitGroup
}

// New returns a relay that lends node. The node stays the caller's, and must live
// longer.
func New(node Node, opts *Options) *Relay {
	r := &Relay{node: node, opts: opts.withDefaults(), addresses: make(map[string]int)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Clients returns the number of clients that are connected.
func (r *Relay) Clients() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients
}

// Close disconnects all clients and waits until everything they had is closed.
// Later requests are refused.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.wg.Wait()
	return nil
}

// ServeHTTP serves one client until it is gone. Pages of any origin may connect:
// a client is known by its keys, and the relay knows no cookies.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	address := r.opts.Address(req)
	status := r.admit(address)
	if status != 0 {
		w.Header().Set("Retry-After", "30")
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer r.leave(address)
	conn, err := websocket.Accept(w, req, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		r.opts.Log.Debug("dhtrelay: not a websocket", "err", err)
		return // Accept has answered
	}
	s := newSession(r, conn)
	err = s.run()
	r.opts.Log.Debug("dhtrelay: client left", "err", err)
}

// admit counts a client in, or returns the status that refuses it.
func (r *Relay) admit(address string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed || r.clients >= r.opts.MaxClients:
		return http.StatusServiceUnavailable
	case r.addresses[address] >= r.opts.MaxClientsPerAddress:
		return http.StatusTooManyRequests
	}
	r.clients++
	r.addresses[address]++
	r.wg.Add(1)
	return 0
}

func (r *Relay) leave(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients--
	if r.addresses[address]--; r.addresses[address] == 0 {
		delete(r.addresses, address)
	}
	r.wg.Done()
}

// hold counts n bytes that are held for a client, and tells whether that is
// still within limits. They count in any case, until -n is counted.
func (r *Relay) hold(n int) bool {
	return r.buffered.Add(int64(n)) <= int64(r.opts.MaxBuffered) || n <= 0
}
