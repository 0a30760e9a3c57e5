package udx

import (
	"sync"
	"time"
)

// deadline is a point in time that can be waited for.
type deadline struct {
	mu     sync.Mutex
	passed chan struct{} // closed when it has passed; nil if there never was one
	timer  *time.Timer
}

// set moves the deadline; the zero time removes it.
func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // the timer is about to close it
	}
	d.timer = nil
	if d.passed == nil || isClosed(d.passed) {
		d.passed = make(chan struct{})
	}
	if at.IsZero() {
		return
	}
	if wait := time.Until(at); wait > 0 {
		passed := d.passed
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	close(d.passed)
}

// wait returns a channel that is closed when the deadline passes.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(at time.Time) error {
	_ = st.SetReadDeadline(at)
	return st.SetWriteDeadline(at)
}

// SetReadDeadline sets when Read fails with os.ErrDeadlineExceeded.
func (st *Stream) SetReadDeadline(at time.Time) error {
	st.readDeadline.set(at)
	poke(st.readWake)
	return nil
}

// SetWriteDeadline sets when Write fails with os.ErrDeadlineExceeded.
func (st *Stream) SetWriteDeadline(at time.Time) error {
	st.writeDeadline.set(at)
	poke(st.writeWake)
	return nil
}

// poke leaves a note for the one who waits.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
