package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// maxEvent limits the size of one event in bytes.
const maxEvent = 4 << 20

// Event is one event of an answer.
type Event struct {
	// Type is one of the Type constants of package api.
	Type string
	// Data is the JSON object.
	Data json.RawMessage
}

// Decode reads the event into the struct that belongs to its type.
func (e Event) Decode(into any) error {
	if err := json.Unmarshal(e.Data, into); err != nil {
		return fmt.Errorf("decode event %s: %w", e.Type, err)
	}
	return nil
}

// Events sends a request and yields the events of its answer. "done" and
// "error" are not yielded: the sequence ends, or yields the error last. Leaving
// the loop stops the work.
func (c *Client) Events(ctx context.Context, path string, request any) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		res, err := c.do(ctx, http.MethodPost, path, request)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer res.Body.Close()
		r := bufio.NewReader(res.Body)
		for {
			e, err := readEvent(r)
			switch {
			case err != nil:
				yield(Event{}, lost(ctx, err))
				return
			case e.Type == api.TypeDone:
				return
			case e.Type == api.TypeError:
				var report fault.Report
				if err := e.Decode(&report); err != nil {
					yield(Event{}, err)
					return
				}
				yield(Event{}, report.Err())
				return
			case !yield(e, nil):
				return
			}
		}
	}
}

// readEvent reads one server-sent event. Only the fields that the API sends are
// understood, others are skipped.
func readEvent(r *bufio.Reader) (Event, error) {
	var e Event
	for size := 0; ; {
		line, err := readLine(r, maxEvent-size)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return e, err
		}
		size += len(line)
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0 && e.Type != "":
			return e, nil
		case string(name) == "event":
			e.Type = string(value)
		case string(name) == "data":
			e.Data = append(e.Data, value...)
		}
	}
}

// readLine reads a line of at most so many bytes.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, fmt.Errorf("event of more than %d bytes", maxEvent)
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}
