package client

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

// endless is a line without an end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	e.read += len(b)
	return copy(b, bytes.Repeat([]byte("x"), len(b))), nil
}

func TestEventsAreBounded(t *testing.T) {
	line := &endless{}
	if _, err := readEvent(bufio.NewReader(line)); err == nil || line.read > maxEvent+1<<16 {
		t.Errorf("%d bytes were read, %v", line.read, err)
	}
	many := strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEvent/1000+1)
	if _, err := readEvent(bufio.NewReader(strings.NewReader(many))); err == nil || err == io.ErrUnexpectedEOF {
		t.Errorf("an event of many lines: %v", err)
	}
	long := "event: x\ndata: " + strings.Repeat("y", 100_000) + "\n\n"
	if e, err := readEvent(bufio.NewReader(strings.NewReader(long))); err != nil || len(e.Data) != 100_000 {
		t.Errorf("a long event: %d bytes, %v", len(e.Data), err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("event: peer\ndata: {\"type\":\"peer\"}\n\nevent: done\ndata: {}\n\n"))
	f.Add([]byte(":comment\r\nevent:x\r\n\r\n"))
	f.Add([]byte("data: 1\ndata: 2\n\n"))
	f.Add([]byte("event"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(stream), 16)
		for {
			e, err := readEvent(r)
			if err == io.ErrUnexpectedEOF {
				return
			}
			if err != nil {
				t.Fatal(err) // it is too short to be too long
			}
			if e.Type == "" || strings.ContainsAny(e.Type, "\n") || len(e.Data) > len(stream) {
				t.Fatalf("event %q of %d bytes", e.Type, len(e.Data))
			}
			var into map[string]any
			_ = e.Decode(&into)
		}
	})
}
