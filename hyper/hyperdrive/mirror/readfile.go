package mirror

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

// File systems note the time of a modification in steps. A file that is read
// less than such a step after it was modified can change again and look the
// same; so it is read later.
const (
	settleFine   = 20 * time.Millisecond
	settleCoarse = 2 * time.Second // for times without a fraction of a second
)

func settleTime(modTime time.Time) time.Duration {
	if modTime.Nanosecond() == 0 {
		return settleCoarse
	}
	return settleFine
}

// readTries is how often a file that changes meanwhile is read.
const readTries = 3

// withStable opens a file and calls read, and again if the file has changed
// meanwhile. It updates n to the state that was read.
func withStable(name string, n *node, read func(io.Reader) error) error {
	for range readTries {
		stable, err := readOnce(name, n, read)
		if err != nil || stable {
			return err
		}
	}
	return ErrChanging
}

func readOnce(name string, n *node, read func(io.Reader) error) (stable bool, err error) {
	f, err := openRegular(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !before.Mode().IsRegular() {
		return false, special(before.Mode())
	}
	var counted countReader
	counted.r = f
	if err := read(&counted); err != nil {
		return false, err
	}
	after, err := f.Stat()
	if err != nil {
		return false, err
	}
	n.size, n.modTime, n.info = uint64(after.Size()), after.ModTime(), after
	n.executable = after.Mode()&0o100 != 0
	return after.ModTime().Equal(before.ModTime()) && after.Size() == before.Size() && counted.n <= after.Size(), nil
}

// readStable returns the content of a small file that does not change meanwhile.
func readStable(name string, n *node) (data []byte, err error) {
	err = withStable(name, n, func(r io.Reader) error {
		buf := bytes.NewBuffer(make([]byte, 0, n.size+bytes.MinRead))
		_, err := buf.ReadFrom(io.LimitReader(r, hyperblobs.SmallSize+1))
		if data = buf.Bytes(); err == nil && len(data) > hyperblobs.SmallSize {
			err = ErrChanging // it grew since it was listed
		}
		return err
	})
	if err == nil && uint64(len(data)) != n.size {
		err = ErrChanging
	}
	return data, err
}

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
	}
	return n, err
}

// readError is a failure of the source, storeError one of the drive: the first
// concerns one file, the second everything.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

func isReadError(err error) bool {
	var r *readError
	return errors.As(err, &r)
}

type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// vanished tells whether a file went away after it was listed.
func vanished(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// countWriter calls itself with the length of each write.
type countWriter func(n int)

func (c countWriter) Write(p []byte) (int, error) {
	c(len(p))
	return len(p), nil
}

// sameBytes tells whether two readers have the same content.
func sameBytes(a, b io.Reader) (bool, error) {
	const size = 256 << 10
	x, y := make([]byte, size), make([]byte, size)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		if errA != nil || errB != nil {
			return errA != nil && errB != nil, nil
		}
	}
}

// readPool runs functions on a number of goroutines, in the order of submission.
type readPool struct {
	work chan func()
	wg   sync.WaitGroup
}

func newReadPool(workers int) *readPool {
	p := &readPool{work: make(chan func(), 2*workers)}
	for range workers {
		p.wg.Go(func() {
			for fn := range p.work {
				fn()
			}
		})
	}
	return p
}

func (p *readPool) submit(fn func()) { p.work <- fn }

// close waits for everything that was submitted.
func (p *readPool) close() {
	close(p.work)
	p.wg.Wait()
}

// openRegular opens a name that a link or pipe may have taken meanwhile.
func openRegular(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDONLY|openFlags, 0) }
