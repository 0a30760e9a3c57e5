package gateway

import (
	"io"
	"net/http"
)

// lateWriter holds the head of an answer back until the first byte of its body
// is there, so that a file that cannot be read can still be answered with an
// error.
type lateWriter struct {
	http.ResponseWriter
	status int  // 0 until known
	begun  bool // the head is sent
}

// WriteHeader implements [http.ResponseWriter].
func (w *lateWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *lateWriter) Write(b []byte) (int, error) {
	w.flush()
	return w.ResponseWriter.Write(b)
}

// flush sends the head.
func (w *lateWriter) flush() {
	if w.begun {
		return
	}
	w.begun = true
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// watchedReader remembers the first failure of a file.
type watchedReader struct {
	io.ReadSeeker
	err error
}

func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.ReadSeeker.Read(b)
	if err != nil && err != io.EOF && r.err == nil {
		r.err = err
	}
	return n, err
}
