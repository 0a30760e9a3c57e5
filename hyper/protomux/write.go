package protomux

import (
	"context"
	"time"
)

// maxWrite bounds the bytes that are handed to the stream in one call, so that
// the queue is seen to shrink.
const maxWrite = 512 << 10

// endItem completes an item of the queue and wakes the writer. mu is held.
func (m *Mux) endItem() {
	if !m.out.end() {
		m.failLater(ErrTooLarge)
		return
	}
	if n := m.out.waiting(); n > m.opts.MaxQueued {
		m.congested.Store(true)
		if n > m.opts.MaxUnsent {
			m.failLater(ErrBacklog)
		}
	}
	m.wake()
}

// failLater ends the mux from a place that holds mu.
func (m *Mux) failLater(err error) {
	if m.failLocked(err) {
		m.helpers.Go(func() { m.stream.Close() })
	}
}

// wake wakes the writer if it waits and there is something to write. mu is held.
func (m *Mux) wake() {
	if m.out.idle && (m.out.corked == 0 || len(m.out.frames) > 0) {
		m.out.idle = false
		select {
		case m.wakeWriter <- struct{}{}:
		default:
		}
	}
}

// Cork holds messages back until Uncork, so that they go out as one batch, as
// far as it is not too large. It nests.
func (m *Mux) Cork() {
	m.mu.Lock()
	m.out.corked++
	m.mu.Unlock()
}

// Uncork ends what Cork began.
func (m *Mux) Uncork() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out.corked == 0 {
		panic("protomux: Uncork without Cork")
	}
	m.out.corked--
	if m.out.items > 0 || len(m.out.frames) > 0 {
		m.wake()
	}
}

// Flush waits until all that was sent before the call has been handed to the
// stream.
func (m *Mux) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.room.Broadcast()
	})
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.finish()
	m.wake()
	for target := m.out.total; m.out.written < target; {
		if m.err != nil {
			return ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m.room.Wait()
	}
	return nil
}

// writeLoop writes what is queued whenever the stream is free. Messages that
// come meanwhile gather in one batch.
func (m *Mux) writeLoop() {
	var frames [][]byte
	var buffers []*buffer
	for {
		frames, buffers = m.take(frames[:0], buffers[:0])
		if frames == nil {
			return
		}
		size := 0
		for _, f := range frames {
			size += len(f)
		}
		if err := m.stream.WriteFrames(frames); err != nil {
			m.fail(err)
			return
		}
		for _, b := range buffers {
			putBuffer(b)
		}
		clear(frames)
		clear(buffers)
		m.written(size)
	}
}

// take waits for frames and removes them from the queue, in the order of
// sending. It returns nil when the mux has ended.
func (m *Mux) take(frames [][]byte, buffers []*buffer) ([][]byte, []*buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := &m.out
	for {
		if m.err != nil {
			return nil, nil
		}
		if q.corked == 0 {
			q.finish()
		}
		if len(q.frames) > 0 {
			break
		}
		q.idle = true
		m.mu.Unlock()
		silent := m.waitForWork()
		m.mu.Lock()
		q.idle = false
		if silent && len(q.frames) == 0 && q.items == 0 {
			q.frames = append(q.frames, make([]byte, Headroom, Headroom+Tailroom))
			q.buffers = append(q.buffers, &buffer{})
			q.size += Headroom
			q.total += Headroom
		}
	}
	n, size := 0, 0
	for n < len(q.frames) && (n == 0 || size < maxWrite) {
		size += len(q.frames[n])
		n++
	}
	frames = append(frames, q.frames[:n]...)
	buffers = append(buffers, q.buffers[:n]...)
	rest := copy(q.frames, q.frames[n:])
	clear(q.frames[rest:])
	q.frames = q.frames[:rest]
	copy(q.buffers, q.buffers[n:])
	clear(q.buffers[rest:])
	q.buffers = q.buffers[:rest]
	return frames, buffers
}

// waitForWork waits until the writer is woken. It returns true when that did not
// happen for the time after which a sign of life is due.
func (m *Mux) waitForWork() (silent bool) {
	var due <-chan time.Time
	if m.opts.KeepAlive > 0 {
		timer := time.NewTimer(m.opts.KeepAlive)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-m.wakeWriter:
	case <-m.done:
	case <-due:
		return true
	}
	return false
}

// written notes that frames have left.
func (m *Mux) written(size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.size -= size
	m.out.written += uint64(size)
	m.room.Broadcast()
	if m.congested.Load() && m.out.waiting() <= m.opts.MaxQueued/2 {
		m.congested.Store(false)
		m.push(event{kind: eventDrain})
	}
}
