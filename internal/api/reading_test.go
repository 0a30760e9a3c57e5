package api

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestRangesOfContent(t *testing.T) {
	for text, want := range map[string][2]uint64{
		"": {0, 10}, "0-": {0, 10}, "0-0": {0, 1}, "2-5": {2, 4}, "9-9": {9, 1}, "9-99": {9, 1}, "10-": {10, 0},
		"-1": {9, 1}, "-10": {0, 10}, "-99": {0, 10}, "-0": {10, 0}, "3-9223372036854775807": {3, 7},
	} {
		start, length, err := parseRange(text, 10)
		if err != nil || start != want[0] || length != want[1] {
			t.Errorf("%q: %d bytes from %d, %v", text, length, start, err)
		}
	}
	for _, text := range []string{"-", "5", "a-b", "5-2", "11-", "--1", "1--", "+1-2", " 1-2", "1-2,4-5", "9223372036854775808-"} {
		if start, length, err := parseRange(text, 10); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %d bytes from %d, %v", text, length, start, err)
		}
	}
	if start, length, err := parseRange("-5", 0); err != nil || start != 0 || length != 0 {
		t.Errorf("the end of nothing: %d bytes from %d, %v", length, start, err)
	}
}

func FuzzRange(f *testing.F) {
	for _, text := range []string{"", "0-0", "5-", "-5", "7-3", "99999999999999999999-", "a"} {
		f.Add(text, uint64(6))
	}
	f.Fuzz(func(t *testing.T, text string, size uint64) {
		size >>= 1 // what a file can have
		start, length, err := parseRange(text, size)
		if err != nil {
			if fault.KindOf(err) != fault.Usage {
				t.Fatal(err)
			}
			return
		}
		if start > size || length > size-start {
			t.Fatalf("%q of %d bytes: %d from %d", text, size, length, start)
		}
		if length == 0 {
			return
		}
		again := fmt.Sprintf("%d-%d", start, start+length-1)
		if s, n, err := parseRange(again, size); err != nil || s != start || n != length {
			t.Fatalf("%q is %q, which is %d from %d, %v", text, again, n, s, err)
		}
	})
}

// FuzzRequest decodes what a client posts.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"ref":"hyper://x","dir":"/","state":{"version":3,"at":"2026-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"path":"/x","ignore":["*.tmp"],"once":true}`))
	f.Add([]byte(`{"unknown":1}`))
	f.Add([]byte(`{}{}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, into := range []any{
			new(ListRequest), new(ContentRequest), new(HistoryRequest), new(DiffRequest), new(ShareRequest), new(GetRequest),
			new(RestoreRequest), new(ServeRequest), new(AuditRequest), new(SendRequest), new(ReceiveRequest), new(DecisionRequest),
		} {
			r, err := http.NewRequest("POST", "/v1/x", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if err := decode(httptest.NewRecorder(), r, into); err != nil && fault.KindOf(err) != fault.Usage {
				t.Fatal(err)
			}
		}
	})
}
