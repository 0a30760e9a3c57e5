package handoff

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/fault"
)

// sender is the side that gives.
type sender struct {
	source  *source
	to      string // the name that the receiver must have; empty: any
	watch   Watcher
	bad     map[uint64]error // entries that could not be sent
	problem error            // the first of them
}

// run sends everything over one connection. It may be called again over the next
// one when that breaks.
func (s *sender) run(ctx context.Context, conn *secretstream.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := sendJSON(conn, kindOffer, &s.source.offer); err != nil {
		return err
	}
	var a answer
	if err := receiveJSON(conn, kindAnswer, &a); err != nil {
		return err
	}
	device := printable(a.Device, maxDevice)
	if s.to != "" && !strings.EqualFold(s.to, device) {
		err := fault.New(fault.Permission, "the other side is %q, not %q", device, s.to)
		return errors.Join(err, fail(conn, fault.New(fault.Permission, "the files are for somebody else")))
	}
	if !a.Accept {
		return fault.New(fault.Permission, "%s declined", device)
	}
	if a.Entry > uint64(len(s.source.entries)) {
		return protocolError("it has %d entries of %d", a.Entry, len(s.source.entries))
	}
	s.watch.connected(device)

	// The other side says nothing until the end, but why it cannot go on.
	heard := make(chan error, 1)
	go func() {
		k, _, err := receive(conn)
		if err == nil && k != kindDone {
			err = protocolError("message %d instead of the end", k)
		}
		if err != nil {
			conn.Close() // writing must not wait for somebody who has gone
		}
		heard <- err
	}()
	err := s.all(ctx, conn, &a)
	if err != nil && errors.As(err, new(*fault.Error)) {
		_ = fail(conn, err)
	}
	if err != nil {
		conn.Close()
	}
	// What the other side says explains best why writing fails.
	if said := <-heard; err == nil || said != nil && !errors.Is(said, secretstream.ErrClosed) {
		return said
	}
	return err
}

func (s *sender) all(ctx context.Context, conn *secretstream.Conn, a *answer) error {
	p := Progress{TotalFiles: s.source.offer.Files, TotalBytes: s.source.offer.Bytes}
	for i := range a.Entry {
		s.count(&p, i)
	}
	offset := a.Offset
	for i := a.Entry; i < uint64(len(s.source.entries)); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &s.source.entries[i]
		if err := sendJSON(conn, kindEntry, &e.entry); err != nil {
			return err
		}
		if e.Kind == "" {
			if err := s.file(conn, i, offset, &p); err != nil {
				return err
			}
		}
		offset = 0
	}
	return send(conn, kindAll, nil)
}

// count adds an entry that needs not be sent.
func (s *sender) count(p *Progress, i uint64) {
	switch e := &s.source.entries[i]; {
	case s.bad[i] != nil:
		p.TotalFiles--
		p.TotalBytes -= e.Size
	case e.Kind == "":
		p.Files++
		p.Bytes += e.Size
	}
}

// file sends the contents of a file behind the first offset bytes, which the other
// side has.
func (s *sender) file(conn *secretstream.Conn, i, offset uint64, p *Progress) error {
	e, before := &s.source.entries[i], *p
	err := s.contents(conn, e, offset, p)
	var bad *sourceError
	if !errors.As(err, &bad) {
		return err
	}
	*p = before
	if s.bad == nil {
		s.bad, s.problem = make(map[uint64]error), bad
	}
	s.bad[i] = bad
	s.count(p, i)
	s.watch.warn(e.file, bad.err)
	b, err := json.Marshal(failure{Message: bad.err.Error()})
	if err != nil {
		return err
	}
	return send(conn, kindVoid, b)
}

// sourceError is about a file that cannot be read as it was listed.
type sourceError struct {
	path string
	err  error
}

func (e *sourceError) Error() string { return e.path + ": " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

var errChanged = errors.New("the file changed after the transfer began")

func (s *sender) contents(conn *secretstream.Conn, e *sourceEntry, offset uint64, p *Progress) error {
	f, err := os.Open(e.file)
	if err != nil {
		return &sourceError{e.file, plainError(err)}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != e.Size || !info.ModTime().Equal(e.Modified) {
		return &sourceError{e.file, errChanged}
	}
	if offset > e.Size {
		return protocolError("it has %d bytes of a file of %d", offset, e.Size)
	}
	h := newHash()
	if _, err := io.CopyN(h, f, int64(offset)); err != nil {
		return &sourceError{e.file, errChanged}
	}
	p.Bytes += offset
	buf := make([]byte, secretstream.Headroom+1+chunk, secretstream.Headroom+1+chunk+secretstream.Tailroom)
	for left := e.Size - offset; left > 0; {
		data := buf[secretstream.Headroom+1:][:min(left, chunk)]
		if _, err := io.ReadFull(f, data); err != nil {
			return &sourceError{e.file, errChanged}
		}
		h.Write(data)
		buf[secretstream.Headroom] = byte(kindData)
		if err := conn.WriteFrames([][]byte{buf[:secretstream.Headroom+1+len(data)]}); err != nil {
			return err
		}
		left -= uint64(len(data))
		p.Bytes += uint64(len(data))
		s.watch.progress(*p)
	}
	if info, err = f.Stat(); err != nil || uint64(info.Size()) != e.Size || !info.ModTime().Equal(e.Modified) {
		return &sourceError{e.file, errChanged}
	}
	p.Files++
	s.watch.progress(*p)
	return send(conn, kindEnd, h.Sum(nil))
}

// result is the error of a transfer that the other side has confirmed.
func (s *sender) result() error {
	if len(s.bad) == 0 {
		return nil
	}
	err := s.problem
	if len(s.bad) > 1 {
		err = fmt.Errorf("%d files were not sent, the first is %w", len(s.bad), err)
	}
	return fault.New(fault.Conflict, "%w", err).Hint("everything else has arrived")
}

// newHash is fast where the processor helps, which nearly all do.
func newHash() hash.Hash { return sha256.New() }

// fail tells the other side why this one ends.
func fail(conn *secretstream.Conn, err error) error {
	return sendJSON(conn, kindFailed, failure{Kind: fault.KindOf(err).String(), Message: printable(err.Error(), 300)})
}

// plainError takes the path out of an error of package os.
func plainError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
