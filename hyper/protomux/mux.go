package protomux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Errors that end a mux; Run returns them wrapped.
var (
	// ErrClosed: the mux was closed or its stream has ended. Open returns it.
	ErrClosed = errors.New("protomux: closed")
	// ErrProtocol: the other side sent a frame that breaks the rules.
	ErrProtocol = errors.New("protomux: protocol violation")
	// ErrTooLarge: a message above MaxMessage was sent.
	ErrTooLarge = errors.New("protomux: message does not fit into a frame")
	// ErrBacklog: more than Options.MaxUnsent bytes wait to be written.
	ErrBacklog = errors.New("protomux: too many unsent bytes")
)

// Mux carries channels over a stream. Its methods may be called from any
// goroutine and from handlers.
type Mux struct {
	stream   Stream
	opts     Options
	buffered func() bool // whether the stream has another frame at hand

	// Held while handlers run; taken before mu.
	hmu     sync.Mutex
	touched []*Channel // channels that are owed OnBatchEnd

	mu        sync.Mutex // guards the rest; never held while a handler runs
	err       error      // why the mux ended
	running   bool
	ending    bool // Close ends the mux, which never ran
	finished  bool
	table     table
	pairs     map[name]func(id []byte)
	pairQueue []pairJob
	pairing   int // goroutines that run pair functions
	out       queue
	events    []event
	room      sync.Cond // less is buffered, more is written, or the mux ended

	hasEvents  atomic.Bool
	congested  atomic.Bool   // more than MaxQueued bytes waited since the last drain
	done       chan struct{} // closed when err is set
	wakeWriter chan struct{}
	wakeEvents chan struct{}
	helpers    sync.WaitGroup // pair functions and such
}

// New returns a mux over s, which it owns. Channels may be opened at once; the
// frames travel while Run runs.
func New(s Stream, opts *Options) *Mux {
	m := &Mux{
		stream:     s,
		opts:       opts.withDefaults(),
		buffered:   func() bool { return false },
		pairs:      make(map[name]func([]byte)),
		done:       make(chan struct{}),
		wakeWriter: make(chan struct{}, 1),
		wakeEvents: make(chan struct{}, 1),
	}
	m.table.names = make(map[name]*waiting)
	m.room.L = &m.mu
	if b, ok := s.(interface{ Buffered() bool }); ok {
		m.buffered = b.Buffered
	}
	return m
}

// Stream returns the stream that was given to New.
func (m *Mux) Stream() Stream { return m.stream }

// Done is closed when the mux has ended.
func (m *Mux) Done() <-chan struct{} { return m.done }

// Run moves frames until the stream ends, an error occurs, Close is called or
// ctx is done; then it closes the stream. When it returns all goroutines of the
// mux have ended, pair functions included, and every channel has got OnClose.
// The error is nil after Close and when the other side has ended the stream
// between two frames. Run may be called once.
func (m *Mux) Run(ctx context.Context) error {
	m.mu.Lock()
	if m.running || m.finished {
		m.mu.Unlock()
		return ErrClosed
	}
	m.running = true
	m.mu.Unlock()

	stop := context.AfterFunc(ctx, func() { m.fail(context.Cause(ctx)) })
	defer stop()
	var loops sync.WaitGroup
	loops.Go(m.writeLoop)
	loops.Go(m.eventLoop)
	m.fail(m.readLoop())
	loops.Wait()
	m.finish()
	m.helpers.Wait()

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == io.EOF || m.err == ErrClosed {
		return nil
	}
	return m.err
}

// Close ends the mux and its stream at once; what is queued is lost, see Flush.
// It does not wait, so that handlers may call it: Run returns when all is done.
func (m *Mux) Close() error {
	err := m.fail(ErrClosed)
	m.mu.Lock()
	first := !m.running && !m.ending // else it may be a handler of finish that calls
	m.ending = m.ending || first
	m.mu.Unlock()
	if first {
		m.finish()
	}
	return err
}

// fail ends the mux for the given reason unless it has ended before.
func (m *Mux) fail(err error) error {
	m.mu.Lock()
	first := m.failLocked(err)
	m.mu.Unlock()
	if !first {
		return nil
	}
	return m.stream.Close()
}

// failLocked tells all to stop and returns whether nobody did before. The stream
// is still to be closed. mu is held.
func (m *Mux) failLocked(err error) bool {
	if m.err != nil {
		return false
	}
	m.err = err
	close(m.done)
	m.room.Broadcast()
	return true
}

// finish closes all channels and runs what is left of the events.
func (m *Mux) finish() {
	m.hmu.Lock()
	defer m.hmu.Unlock()
	m.mu.Lock()
	if m.finished {
		m.mu.Unlock()
		return
	}
	m.finished = true
	for _, c := range m.table.local {
		if c != nil && !c.closing {
			c.state = stateClosed
			c.live.Store(false)
			m.push(event{kind: eventClose, channel: c, remote: true})
		}
	}
	m.table = table{}
	m.pairQueue = nil
	m.out.drop()
	m.mu.Unlock()
	// Only OnClose is called from here on, and it cannot fail.
	_ = m.runEvents()
	m.touched = nil
}

// readLoop handles frames until the stream ends.
func (m *Mux) readLoop() error {
	for {
		frame, err := m.stream.ReadFrame()
		if err != nil {
			return err
		}
		m.hmu.Lock()
		err = m.handle(frame)
		m.hmu.Unlock()
		if err != nil {
			return err
		}
		m.waitForRoom()
	}
}

// handle handles a frame and, if no other is at hand, ends the burst. Answers
// to a batch leave as a batch. hmu is held.
func (m *Mux) handle(frame []byte) error {
	if err := m.runEvents(); err != nil {
		return err
	}
	batch := len(frame) > 2 && frame[0] == 0 && frame[1] == controlBatch
	if batch {
		m.Cork()
		defer m.Uncork()
	}
	if err := m.handleFrame(frame); err != nil {
		return err
	}
	if len(m.touched) == 0 || m.buffered() {
		return nil
	}
	return m.endBurst()
}

// endBurst calls OnBatchEnd where it is owed. hmu is held.
func (m *Mux) endBurst() error {
	for len(m.touched) > 0 {
		c := m.touched[len(m.touched)-1]
		m.touched = m.touched[:len(m.touched)-1]
		c.touched = false
		if c.live.Load() {
			c.opts.OnBatchEnd(c)
		}
		if err := m.runEvents(); err != nil {
			return err
		}
	}
	return nil
}

// waitForRoom waits while the other side has sent too much on channels that
// this side has not opened yet.
func (m *Mux) waitForRoom() {
	m.mu.Lock()
	for m.err == nil && (m.table.buffered > maxBuffered || m.table.opening > maxOpening) {
		m.room.Wait()
	}
	m.mu.Unlock()
}

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}
