package dhtrelay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/protomux"
)

var (
	errStalled   = errors.New("dhtrelay: peer does not read")
	errUnused    = errors.New("dhtrelay: stream is not used")
	errDestroyed = errors.New("dhtrelay: destroyed by the client")
	errStreams   = errors.New("dhtrelay: too many streams")
)

// stream moves what a client and a peer send each other. Two goroutines serve
// it: one reads from the peer and sends to the client, the other writes to the
// peer what the client has queued.
type stream struct {
	session   *session
	alias     alias // ours
	custodial bool
	ctx       context.Context // done when the stream has failed or ended
	cancel    context.CancelFunc
	wake      chan struct{} // something is queued

	mu       sync.Mutex // guards the rest
	client   alias      // the client's number; set when claimed
	claimed  bool
	deadline time.Time // to be claimed
	conn     Stream    // nil while connecting
	cause    error     // why the stream failed
	queue    []pieces
	pending  int  // bytes that the peer has not taken
	ended    bool // the client has ended its side
	gone     bool // nothing is sent to the peer any more
	used     bool // the client has sent something
	moved    time.Time
}

func (s *session) newStream(custodial bool) *stream {
	st := &stream{session: s, alias: s.next(), custodial: custodial, wake: make(chan struct{}, 1), moved: time.Now()}
	st.ctx, st.cancel = context.WithCancel(s.ctx)
	return st
}

// fail ends the stream at once, for the first reason given.
func (st *stream) fail(err error) {
	st.mu.Lock()
	if st.cause != nil {
		st.mu.Unlock()
		return
	}
	st.cause = err
	conn := st.conn
	st.mu.Unlock()
	st.cancel()
	if conn != nil {
		conn.Close()
	}
}

// attach gives the stream its connection. It returns false, and closes conn, if
// the stream has failed before.
func (st *stream) attach(conn Stream) bool {
	st.mu.Lock()
	failed := st.cause != nil
	if !failed {
		st.conn = conn
	}
	st.moved = time.Now()
	st.mu.Unlock()
	if failed {
		conn.Close()
	}
	return !failed
}

// serve moves bytes until both sides have ended or one fails, and closes conn.
// It returns why the stream failed, or nil.
func (st *stream) serve(conn Stream) error {
	closed := make(chan struct{})
	stop := context.AfterFunc(st.ctx, func() {
		defer close(closed)
		st.fail(ErrClosed)
	})
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := st.write(conn); err != nil {
			st.fail(err)
		}
	})
	if err := st.read(conn); err != nil {
		st.fail(err)
	}
	writer.Wait()
	if st.failure() == nil {
		ctx, cancel := context.WithTimeout(st.ctx, st.session.opts.StallTimeout)
		_ = conn.Linger(ctx) // too late to tell the client
		cancel()
	}
	if !stop() {
		<-closed
	}
	st.cancel()
	conn.Close()
	return st.failure()
}

func (st *stream) failure() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.cause
}

// read sends to the client what the peer sends.
func (st *stream) read(conn Stream) error {
	for {
		p, err := conn.ReadFrame()
		switch {
		case err == io.EOF:
			st.session.send(typeEnd, &number{st.alias})
			return nil
		case err != nil:
			return err
		case len(p)+dataOverhead > protomux.MaxMessage:
			return fmt.Errorf("%w: %d bytes", protomux.ErrTooLarge, len(p))
		}
		if err := st.session.sendData(st, p); err != nil {
			return err
		}
		st.touch()
	}
}

// sendData sends p to the client when it is the stream's turn and the client has
// read what was sent before.
func (s *session) sendData(st *stream, p []byte) error {
	full := !s.relay.hold(len(p))
	defer s.relay.hold(-len(p))
	if full {
		return errFull
	}
	select {
	case s.turn <- struct{}{}:
	case <-st.ctx.Done():
		return ErrClosed
	}
	defer func() { <-s.turn }()
	for {
		changed := s.changed.next()
		if s.channel.Drained() {
			break
		}
		select {
		case <-changed:
		case <-st.ctx.Done():
			return ErrClosed
		}
	}
	s.channel.SendFunc(typeData, len(p)+dataOverhead, func(b []byte) []byte { return appendData(b, st.alias, p) })
	return nil
}

// write sends to the peer what the client has queued, until the client ends.
func (st *stream) write(conn Stream) error {
	for {
		next, ended := st.dequeue()
		switch {
		case next != nil:
			err := st.writePieces(conn, next)
			st.unqueue(len(next))
			if err != nil {
				return err
			}
		case ended:
			return conn.CloseWrite()
		default:
			select {
			case <-st.wake:
			case <-st.ctx.Done():
				return ErrClosed
			}
		}
	}
}

func (st *stream) writePieces(conn Stream, all pieces) error {
	for p := range all.all() {
		if _, err := conn.Write(p); err != nil {
			return err
		}
		st.touch()
	}
	return nil
}

func (st *stream) touch() {
	st.mu.Lock()
	st.moved = time.Now()
	st.mu.Unlock()
}

// enqueue takes what the client has sent; p is copied.
func (st *stream) enqueue(p pieces) error {
	s := st.session
	st.count(len(p))
	err := s.hold(len(p))
	st.mu.Lock()
	st.used = true
	wanted := !st.ended && !st.gone
	if wanted {
		if len(st.queue) == 0 && st.pending == len(p) {
			st.moved = time.Now() // the peer has had nothing to read so far
		}
		st.queue = append(st.queue, append(pieces(nil), p...))
	}
	st.mu.Unlock()
	if !wanted {
		st.unqueue(len(p))
	}
	st.kick()
	return err
}

// count counts n bytes that wait for the peer.
func (st *stream) count(n int) {
	st.mu.Lock()
	st.pending += n
	st.mu.Unlock()
	s := st.session
	s.mu.Lock()
	s.queued += n
	s.mu.Unlock()
}

func (st *stream) dequeue() (next pieces, ended bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.queue) == 0 {
		return nil, st.ended
	}
	next = st.queue[0]
	st.queue = st.queue[1:]
	return next, false
}

// unqueue tells that n bytes wait no more.
func (st *stream) unqueue(n int) {
	st.count(-n)
	st.session.relay.hold(-n)
	st.session.changed.broadcast()
}

// drop forgets what is queued and takes no more.
func (st *stream) drop() {
	st.mu.Lock()
	st.gone = true
	st.mu.Unlock()
	for {
		next, _ := st.dequeue()
		if next == nil {
			return
		}
		st.unqueue(len(next))
	}
}

// end tells that the client sends no more.
func (st *stream) end() {
	st.mu.Lock()
	st.ended, st.used = true, true
	st.mu.Unlock()
	st.kick()
}

func (st *stream) kick() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// expire fails the stream if the client seems to know nothing of it.
func (st *stream) expire() {
	st.mu.Lock()
	now := time.Now()
	unclaimed := !st.claimed && now.After(st.deadline)
	unused := !st.used && st.conn != nil && now.Sub(st.moved) > st.session.opts.UnusedTimeout
	st.mu.Unlock()
	if unclaimed || unused {
		st.fail(errUnused)
	}
}

// expectProgress fails the stream if its peer has not read for long, although
// there is something to read. It is asked when the client has to wait for that.
func (st *stream) expectProgress() {
	st.mu.Lock()
	stalled := st.conn != nil && st.pending > 0 && time.Since(st.moved) >= st.session.opts.StallTimeout
	st.mu.Unlock()
	if stalled {
		st.fail(errStalled)
	}
}
