package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

// ErrMismatch is the error of content whose bytes do not have the hash that its
// Ref says. Nothing that was read of it may be kept.
var ErrMismatch = errors.New("content: bytes do not match their hash")

// Reader reads content. It is an [io.ReaderAt], [io.ReadSeeker] and [io.WriterTo].
// ReadAt fetches only the blocks that it needs and may be called concurrently,
// also during a Read. The other methods share the position and are serialised;
// reading in sequence fetches ahead.
//
// Reading everything from the start to the end in sequence checks the hash: if it
// is wrong, the last bytes are withheld and the error is [ErrMismatch].
type Reader struct {
	ctx    context.Context // of all reads: io.ReaderAt has no room for one
	parts  []Part
	starts []int64 // where each part begins
	size   int64
	want   hypercrypto.Hash
	local  bool

	openMu sync.Mutex // guards what follows
	logs   *logs
	recent []opened // the one used last comes last

	mu     sync.Mutex // guards what follows, also during reads
	pos    int64
	sum    *digest.Digest
	summed int64 // how much of the content sum covers
	ahead  ahead
}

// opened is a part that is being read.
type opened struct {
	part int
	r    *hyperblobs.Reader
}

// maxOpened is how many parts are kept open for random access.
const maxOpened = 8

// Open returns a Reader of the content. ctx bounds all its reads, which wait for
// peers where blocks are not held here. Close gives the logs back.
func (s *Store) Open(ctx context.Context, ref Ref) (*Reader, error) {
	return s.openReader(ctx, ref, false)
}

// OpenLocal is Open of what is held here: other reads fail with
// [hypercore.ErrNotAvailable].
func (s *Store) OpenLocal(ctx context.Context, ref Ref) (*Reader, error) {
	return s.openReader(ctx, ref, true)
}

func (s *Store) openReader(ctx context.Context, ref Ref, local bool) (*Reader, error) {
	r := &Reader{ctx: ctx, size: int64(ref.Size), want: ref.Hash, local: local, logs: s.logs(), sum: digest.NewSized(ref.Size)}
	var err error
	if r.parts, err = r.logs.parts(ctx, ref, local); err != nil {
		r.logs.close()
		return nil, err
	}
	r.starts = make([]int64, len(r.parts))
	at := int64(0)
	for i, p := range r.parts {
		r.starts[i] = at
		at += int64(p.Size())
	}
	r.ahead.r = r
	return r, nil
}

// Size returns the length in bytes.
func (r *Reader) Size() int64 { return r.size }

// Close stops reading ahead and gives the logs back. Reads must have ended. It is
// safe to call twice.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ahead.stop()
	r.openMu.Lock()
	defer r.openMu.Unlock()
	for _, o := range r.recent {
		o.r.Close()
	}
	r.recent = nil
	r.logs.close()
	return nil
}

// partAt returns the part that has the byte at off, which must not be beyond the
// end.
func (r *Reader) partAt(off int64) int {
	i, found := slices.BinarySearch(r.starts, off)
	if !found {
		i--
	}
	return i
}

// open returns the reader of a part that is in a log.
func (r *Reader) open(i int) (*hyperblobs.Reader, error) {
	r.openMu.Lock()
	defer r.openMu.Unlock()
	for j, o := range r.recent {
		if o.part == i {
			r.recent = append(slices.Delete(r.recent, j, j+1), o)
			return o.r, nil
		}
	}
	b, err := r.blobsLocked(i)
	if err != nil {
		return nil, err
	}
	if r.local && r.parts[i].Blob.End() > b.Core().Length() {
		return nil, fmt.Errorf("open part %d: %w", i, hypercore.ErrNotAvailable)
	}
	pr, err := b.Open(r.ctx, r.parts[i].Blob)
	if err != nil {
		return nil, fmt.Errorf("open part %d: %w", i, err)
	}
	if len(r.recent) == maxOpened {
		// Whoever still reads from it goes on: only its read-ahead and cache end.
		r.recent[0].r.Close()
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	r.recent = append(r.recent, opened{i, pr})
	return pr, nil
}

// blobsLocked returns the log of a part. r.openMu must be held.
func (r *Reader) blobsLocked(i int) (*hyperblobs.Blobs, error) {
	b, err := r.logs.get(r.ctx, r.parts[i].Log)
	if err == nil && r.local {
		b = b.LocalOnly()
	}
	return b, err
}

// ReadAt reads len(p) bytes from offset off.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("content: negative offset")
	}
	if off >= r.size {
		return 0, io.EOF
	}
	if int64(len(p)) > r.size-off {
		p, err = p[:r.size-off], io.EOF
	}
	for i := r.partAt(off); n < len(p); i++ {
		k, failed := r.readPart(i, p[n:], off+int64(n)-r.starts[i])
		n += k
		if failed != nil {
			return n, failed
		}
	}
	return n, err
}

// readPart reads from offset off of a part what p has room for.
func (r *Reader) readPart(i int, p []byte, off int64) (int, error) {
	part := r.parts[i]
	p = p[:min(int64(len(p)), int64(part.Size())-off)]
	if part.Zeros() {
		clear(p)
		return len(p), nil
	}
	pr, err := r.open(i)
	if err != nil {
		return 0, err
	}
	n, err := pr.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Read reads from the position, at most to the end of a part.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pos >= r.size {
		return 0, r.endLocked()
	}
	if len(p) == 0 {
		return 0, nil
	}
	i := r.partAt(r.pos)
	r.ahead.from(i)
	n, err := r.readPart(i, p, r.pos-r.starts[i])
	if err := r.tookLocked(p[:n]); err != nil {
		return 0, err
	}
	return n, err
}

// tookLocked moves the position behind what was read. r.mu must be held.
func (r *Reader) tookLocked(p []byte) error {
	if r.summed == r.pos {
		_, _ = r.sum.Write(p) // never fails
		r.summed += int64(len(p))
		if r.summed == r.size && r.sum.Sum() != r.want {
			r.pos = r.size
			return ErrMismatch
		}
	}
	r.pos += int64(len(p))
	return nil
}

// endLocked returns the error of a read at the end. r.mu must be held.
func (r *Reader) endLocked() error {
	if r.summed == r.size && r.sum.Sum() != r.want {
		return ErrMismatch
	}
	return io.EOF
}

// Seek sets the position of the next Read.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	case io.SeekStart:
	default:
		return 0, fmt.Errorf("content: seek from %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("content: seek before the start")
	}
	if offset != r.pos {
		r.ahead.stop()
	}
	if offset == 0 && r.summed > 0 {
		r.sum.Reset()
		r.summed = 0
	}
	r.pos = offset
	return offset, nil
}

// zeroBytes is what zeros are written from.
var zeroBytes [64 << 10]byte

// WriteTo writes everything from the position on to w. Reading overlaps with
// writing.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	start := r.pos
	checked := writerFunc(func(p []byte) (int, error) {
		if err := r.tookLocked(p); err != nil {
			return 0, err
		}
		return w.Write(p)
	})
	for r.pos < r.size {
		i := r.partAt(r.pos)
		r.ahead.from(i)
		if err := r.writePart(checked, i, r.pos-r.starts[i]); err != nil {
			return r.pos - start, err
		}
	}
	if err := r.endLocked(); !errors.Is(err, io.EOF) {
		return r.pos - start, err
	}
	return r.pos - start, nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// writePart writes a part from offset off on.
func (r *Reader) writePart(w io.Writer, i int, off int64) error {
	part := r.parts[i]
	if part.Zeros() {
		for left := int64(part.Size()) - off; left > 0; {
			n := min(left, int64(len(zeroBytes)))
			if _, err := w.Write(zeroBytes[:n]); err != nil {
				return err
			}
			left -= n
		}
		return nil
	}
	pr, err := r.open(i)
	if err != nil {
		return err
	}
	if _, err := pr.Seek(off, io.SeekStart); err != nil {
		return err
	}
	n, err := pr.WriteTo(w)
	if err == nil && n != int64(part.Size())-off {
		err = io.ErrUnexpectedEOF
	}
	return err
}
