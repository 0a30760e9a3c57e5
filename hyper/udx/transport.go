package udx

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/udpio"
)

const (
	// DefaultReceiveWindow is how much a stream takes in before it is read.
	DefaultReceiveWindow = 4 << 20
	// DefaultSendBuffer is how much a stream takes from writers beyond what is on
	// its way.
	DefaultSendBuffer = 512 << 10
	// DefaultReceiveMemory is how much all streams of a transport take in together
	// before it is read.
	DefaultReceiveMemory = 512 << 20
)

// Options configures a Transport. The zero value is ready to use.
type Options struct {
	// Listen opens sockets. Default: UDP sockets of the system.
	Listen func(local netip.AddrPort) (udpio.Conn, error)
	// ReceiveWindow is how many bytes a stream holds that nobody has read.
	// Default DefaultReceiveWindow. Streams may need twice that for a moment.
	ReceiveWindow int
	// ReceiveMemory is how many bytes of memory all streams together should hold
	// for what nobody has read; windows shrink as it is used up. At twice that data
	// is refused, until it is read or the streams time out; only a stream that
	// holds nothing takes in one more packet. Default DefaultReceiveMemory.
	ReceiveMemory int
	// SendBuffer is how many bytes a stream takes from writers before they wait,
	// beside those that are on their way. Default DefaultSendBuffer.
	SendBuffer int
	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Listen == nil {
		out.Listen = udpio.Listen
	}
	if out.ReceiveWindow <= 0 {
		out.ReceiveWindow = DefaultReceiveWindow
	}
	out.ReceiveWindow = min(max(out.ReceiveWindow, minWindow), maxWindow)
	if out.ReceiveMemory <= 0 {
		out.ReceiveMemory = DefaultReceiveMemory
	}
	if out.SendBuffer <= 0 {
		out.SendBuffer = DefaultSendBuffer
	}
	if out.Log == nil {
		out.Log = slog.New(slog.DiscardHandler)
	}
	return out
}

// Transport owns the stream ids of any number of sockets.
type Transport struct {
	opts  Options   // set once
	epoch time.Time // set once; instants are counted from here

	packets sync.Pool
	earlies sync.Pool
	chunks  sync.Pool

	received atomic.Int64 // bytes in chunks and earlies that streams hold

	mu      sync.RWMutex // guards what follows; taken after the lock of a stream
	streams map[uint32]*Stream
	sockets map[*Socket]struct{}
	closed  bool
}

// NewTransport returns a transport without sockets and streams.
func NewTransport(o *Options) *Transport {
	t := &Transport{
		opts:    o.withDefaults(),
		epoch:   time.Now(),
		streams: make(map[uint32]*Stream),
		sockets: make(map[*Socket]struct{}),
	}
	t.packets.New = func() any { return new(packet) }
	t.earlies.New = func() any { return new(early) }
	t.chunks.New = func() any { return new(chunk) }
	return t
}

// full tells whether the streams hold all they may together.
func (t *Transport) full() bool { return t.received.Load() >= 2*int64(t.opts.ReceiveMemory) }

// share is the largest window that a stream may offer now: many streams that
// offer so much at the same time do not exceed what is left by far.
func (t *Transport) share() int {
	left := t.opts.ReceiveMemory - int(t.received.Load())
	return min(t.opts.ReceiveWindow, max(left, 0)/64)
}

func (t *Transport) now() time.Duration { return time.Since(t.epoch) }

// Listen opens a socket. raw is called with every datagram that belongs to no
// stream; it must not keep the packet, and nothing else is received on the socket
// until it returns. It may call any method except Close of the socket or the
// transport.
func (t *Transport) Listen(local netip.AddrPort, raw func(s *Socket, packet []byte, from netip.AddrPort)) (*Socket, error) {
	conn, err := t.opts.Listen(local)
	if err != nil {
		return nil, err
	}
	s := newSocket(t, conn, raw)
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		conn.Close()
		return nil, ErrClosed
	}
	t.sockets[s] = struct{}{}
	s.start()
	t.mu.Unlock()
	return s, nil
}

// NewStream returns a stream with a random id that no other stream has. It
// receives from now on, as far as its firewall hook lets it.
func (t *Transport) NewStream(o *StreamOptions) (*Stream, error) {
	for {
		st, err := t.NewStreamID(rand.Uint32(), o)
		if err != ErrIDInUse {
			return st, err
		}
	}
}

// NewStreamID is like NewStream with a chosen id. It fails with ErrIDInUse if a
// stream has that id.
func (t *Transport) NewStreamID(id uint32, o *StreamOptions) (*Stream, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if t.streams[id] != nil {
		return nil, ErrIDInUse
	}
	st := newStream(t, id, o)
	t.streams[id] = st
	return st, nil
}

func (t *Transport) lookup(id uint32) *Stream {
	t.mu.RLock()
	st := t.streams[id]
	t.mu.RUnlock()
	return st
}

func (t *Transport) forget(st *Stream) {
	t.mu.Lock()
	if t.streams[st.id] == st {
		delete(t.streams, st.id)
	}
	t.mu.Unlock()
}

// streamsWhere returns the streams for which f is true.
func (t *Transport) streamsWhere(f func(*Stream) bool) []*Stream {
	t.mu.RLock()
	all := make([]*Stream, 0, len(t.streams))
	for _, st := range t.streams {
		all = append(all, st)
	}
	t.mu.RUnlock()
	kept := all[:0]
	for _, st := range all {
		st.mu.Lock()
		if f(st) {
			kept = append(kept, st)
		}
		st.mu.Unlock()
	}
	return kept
}

// Close destroys all streams, closes all sockets and waits for their goroutines.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	sockets := make([]*Socket, 0, len(t.sockets))
	for s := range t.sockets {
		sockets = append(sockets, s)
	}
	t.mu.Unlock()
	for _, st := range t.streamsWhere(func(*Stream) bool { return true }) {
		st.Close()
	}
	var first error
	for _, s := range sockets {
		if err := s.Close(); first == nil {
			first = err
		}
	}
	for _, st := range t.streamsWhere(func(*Stream) bool { return true }) {
		st.remove()
	}
	return first
}

func (t *Transport) debug(msg string, args ...any) {
	if t.opts.Log.Enabled(context.Background(), slog.LevelDebug) {
		t.opts.Log.Debug(msg, args...)
	}
}
