package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// slowClient is an answer that nobody reads until it is released.
type slowClient struct {
	bytes.Buffer
	release chan struct{}
}

func (c *slowClient) Header() http.Header { return http.Header{} }
func (c *slowClient) WriteHeader(int)     {}
func (c *slowClient) Flush()              {}

func (c *slowClient) Write(p []byte) (int, error) {
	<-c.release
	return c.Buffer.Write(p)
}

func TestPostDoesNotWaitForTheClient(t *testing.T) {
	c := &slowClient{release: make(chan struct{})}
	s := newStream(c)
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		for i := range 3 * maxPosted {
			s.Post(TypePeer, Peer{Type: TypePeer, Address: fmt.Sprint(i)})
		}
	}()
	select {
	case <-posted:
	case <-time.After(time.Minute):
		t.Error("it waits")
	}
	close(c.release)
	<-posted
	if err := s.Send(TypeServing, Serving{TypeServing, "x"}); err != nil {
		t.Fatal(err)
	}
	s.end(nil)
	s.Post(TypePeer, Peer{Type: TypePeer}) // too late
	text := c.String()
	last := strings.Index(text, fmt.Sprintf("%q", fmt.Sprint(3*maxPosted-1)))
	if serving, done := strings.Index(text, "event: serving"), strings.Index(text, "event: done"); last < 0 || serving < last || done < serving || !strings.HasSuffix(text[done:], "\n\n") {
		t.Errorf("the last peer at %d, then at %d and %d of %d", last, serving, done, len(text))
	}
	// The goroutine that waits for the client has what was posted before it ran.
	if n := strings.Count(text, "event: peer"); n < maxPosted || n > 2*maxPosted {
		t.Errorf("%d peers", n)
	}
}
