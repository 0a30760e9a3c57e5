package api

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

// stuck is an answer to a client that reads nothing until it is let go.
type stuck struct {
	*httptest.ResponseRecorder
	reads chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.reads
	return s.ResponseRecorder.Write(p)
}

// The connections of a node tell all requests of their changes: none may hold them up.
func TestAClientThatDoesNotReadHoldsUpNobody(t *testing.T) {
	w := &stuck{httptest.NewRecorder(), make(chan struct{})}
	s := newStream(w)
	for i := range 10 * maxTold {
		s.Tell(TypePeer, Peer{Type: TypePeer, Address: strconv.Itoa(i)})
	}
	close(w.reads)
	s.end(fault.New(fault.Canceled, "interrupted"))
	s.Tell(TypePeer, Peer{Type: TypePeer, Address: "late"})
	var told int
	events := strings.Split(strings.TrimSpace(w.Body.String()), "\n\n")
	for _, e := range events[:len(events)-1] {
		if !strings.Contains(e, `"address":"`+strconv.Itoa(told)+`"`) {
			t.Fatalf("event %d is %q", told, e)
		}
		told++
	}
	if told != maxTold || !strings.HasPrefix(events[len(events)-1], "event: error\n") {
		t.Errorf("%d events were told; the last is %q", told, events[len(events)-1])
	}
}
