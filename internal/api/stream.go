package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/internal/fault"
)

// Stream writes the events of one answer. It is safe for concurrent use.
type Stream struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	out *http.ResponseController
	err error // the first write that failed; the client is gone

	postMu sync.Mutex // guards what follows; not held while something is written
	posted [][]byte   // is to be written, the oldest first
	busy   bool       // a goroutine of wg writes it
	ended  bool
	wg     sync.WaitGroup
}

// maxPosted is how many events wait for a client that does not read; then the oldest are
// dropped.
const maxPosted = 1000

// newStream starts an answer of events.
func newStream(w http.ResponseWriter) *Stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	s := &Stream{w: w, out: http.NewResponseController(w)}
	s.err = s.out.Flush()
	return s
}

// Send writes one event. name must be the event's "type". The error tells that
// the client is gone. Send waits for a client that does not read.
func (s *Stream) Send(name string, event any) error {
	text, err := encode(name, event)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writePostedLocked()
	return s.writeLocked(text)
}

// Post is Send that does not wait, for what others tell who have work to do: those that a
// client does not read would wait for it, and all that waits for them.
func (s *Stream) Post(name string, event any) {
	text, err := encode(name, event)
	if err != nil {
		return // no event of this package
	}
	s.postMu.Lock()
	defer s.postMu.Unlock()
	if s.ended {
		return
	}
	if len(s.posted) == maxPosted {
		s.posted = slices.Delete(s.posted, 0, 1)
	}
	s.posted = append(s.posted, text)
	if !s.busy {
		s.busy = true
		s.wg.Go(s.writePosted)
	}
}

// writePosted writes what was posted until nothing is left.
func (s *Stream) writePosted() {
	for more := true; more; {
		s.mu.Lock()
		s.writePostedLocked()
		s.mu.Unlock()
		s.postMu.Lock()
		more = len(s.posted) > 0
		s.busy = more
		s.postMu.Unlock()
	}
}

// writePostedLocked writes what was posted so far. s.mu must be held.
func (s *Stream) writePostedLocked() {
	s.postMu.Lock()
	list := s.posted
	s.posted = nil
	s.postMu.Unlock()
	for _, text := range list {
		_ = s.writeLocked(text) // the next Send tells
	}
}

func encode(name string, event any) ([]byte, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", name, err)
	}
	// encoding/json escapes line ends, so data is one line.
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data), nil
}

// writeLocked writes an event. s.mu must be held.
func (s *Stream) writeLocked(text []byte) error {
	if s.err != nil {
		return s.err
	}
	if _, s.err = s.w.Write(text); s.err == nil {
		s.err = s.out.Flush()
	}
	return s.err
}

// settle waits until all that was posted is written, and takes no more of it.
func (s *Stream) settle() {
	s.postMu.Lock()
	s.ended = true
	s.postMu.Unlock()
	s.wg.Wait()
}

// end writes the last event.
func (s *Stream) end(err error) {
	s.settle()
	if err != nil {
		s.Send(TypeError, fault.ReportOf(err))
		return
	}
	s.Send(TypeDone, Done{TypeDone})
}

// writeJSON answers with one JSON value.
func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(value)
}

// writeError answers with a fault.
func writeError(w http.ResponseWriter, err error) {
	status := fault.KindOf(err).HTTPStatus()
	if long := (*http.MaxBytesError)(nil); errors.As(err, &long) {
		status = http.StatusRequestEntityTooLarge
	}
	refuse(w, status, err)
}
