package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/tradle/cloudpal/internal/fault"
)

// Stream writes the events of one answer. It is safe for concurrent use.
type Stream struct {
	mu  sync.Mutex // guards what follows, and is held while a client takes its time
	w   http.ResponseWriter
	out *http.ResponseController
	err error // the first write that failed; the client is gone

	queueMu sync.Mutex // guards what follows
	queue   []told     // the first is being written
	done    bool
	writing sync.WaitGroup // the goroutine that writes the queue
}

// told is an event that waits to be written.
type told struct {
	name  string
	event any
}

// maxTold limits the events that wait.
const maxTold = 256

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
// the client is gone.
func (s *Stream) Send(name string, event any) error {
	data, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	// encoding/json escapes line ends, so data is one line.
	if _, s.err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, data); s.err == nil {
		s.err = s.out.Flush()
	}
	return s.err
}

// Tell sends an event of which those who cause it do not wait for the client, because they
// serve others, too. It is left out if the client does not keep up.
func (s *Stream) Tell(name string, event any) {
	s.queueMu.Lock()
	defer s.queueMu.Unlock()
	if s.done || len(s.queue) == maxTold {
		return
	}
	s.queue = append(s.queue, told{name, event})
	if len(s.queue) == 1 {
		s.writing.Go(s.writeQueue)
	}
}

// writeQueue sends what was told until nothing is left.
func (s *Stream) writeQueue() {
	for {
		s.queueMu.Lock()
		next := s.queue[0]
		s.queueMu.Unlock()
		_ = s.Send(next.name, next.event) // the client is gone if it fails
		s.queueMu.Lock()
		s.queue = s.queue[1:]
		last := len(s.queue) == 0
		s.queueMu.Unlock()
		if last {
			return
		}
	}
}

// settle waits until all that was told is sent, and takes no more of it.
func (s *Stream) settle() {
	s.queueMu.Lock()
	s.done = true
	s.queueMu.Unlock()
	s.writing.Wait()
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
