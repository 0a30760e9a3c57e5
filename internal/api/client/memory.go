package client

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Memory reaches a node in this process by calling its handler. Answers are
// streamed: what the handler writes can be read before it returns.
func Memory(h http.Handler) http.RoundTripper { return memory{h} }

type memory struct{ handler http.Handler }

// RoundTrip runs the handler in a goroutine that ends when the handler returns.
// Closing the answer's body or ending the request's context makes the handler's
// writes fail.
func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	a := &answer{header: http.Header{}, trailer: http.Header{}, body: w, started: make(chan struct{})}
	in := req.Clone(req.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RequestURI = in.URL.RequestURI()
	stop := make(chan struct{})
	go func() {
		select {
		case <-req.Context().Done():
			w.CloseWithError(req.Context().Err())
		case <-stop:
		}
	}()
	go func() {
		defer close(stop)
		defer in.Body.Close()
		defer func() {
			// net/http's servers survive a handler that panics with this value.
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
			a.WriteHeader(http.StatusOK)
			a.sendTrailer()
			if p != nil {
				w.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			w.Close()
		}()
		m.handler.ServeHTTP(a, in)
	}()
	select {
	case <-a.started:
	case <-req.Context().Done():
		r.Close()
		return nil, req.Context().Err()
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", a.code, http.StatusText(a.code)),
		StatusCode: a.code,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        a.sent,
		Body:          r,
		Trailer:       a.trailer,
		ContentLength: -1,
		Request:       req,
	}, nil
}

// answer is the http.ResponseWriter of a handler called in memory.
type answer struct {
	header http.Header
	body   *io.PipeWriter

	once    sync.Once
	started chan struct{} // closed once code and sent are set
	code    int
	sent    http.Header
	trailer http.Header // filled before the body ends
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	a.once.Do(func() {
		a.code, a.sent = code, a.header.Clone()
		close(a.started)
	})
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush sends the header; bytes are never held back.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

// sendTrailer takes over what the handler announced as trailers and set since.
func (a *answer) sendTrailer() {
	for _, name := range a.sent.Values("Trailer") {
		if v := a.header.Get(name); v != "" {
			a.trailer.Set(name, v)
		}
	}
}
