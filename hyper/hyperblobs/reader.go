package hyperblobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// Reader reads one blob. It is an [io.ReaderAt], [io.ReadSeeker] and
// [io.WriterTo]. ReadAt fetches only the blocks it needs; reading in sequence
// fetches ahead. ReadAt may be called concurrently, also during a Read; the
// other methods share the position and are serialised.
//
// If the log is truncated after the Reader was opened, reads fail with
// [hypercore.ErrTruncated], because the same blocks may now hold something else.
type Reader struct {
	ctx  context.Context // of all reads: io.ReaderAt has no room for one
	b    *Blobs
	core *hypercore.Core
	id   ID
	fork uint64
	size int64

	pieces []Piece // mapped blobs; shared, not to be changed
	starts []int64 // where each piece begins in the content; shared too

	mu       sync.Mutex // guards what follows
	pos      int64
	aheadSet bool // the read-ahead was considered
	ahead    *hypercore.Download
	last     span // most recently read block
}

// span is a block with its place in the content.
type span struct {
	block uint64
	start int64
	data  []byte
}

func (s span) contains(off int64) bool {
	return off >= s.start && off < s.start+int64(len(s.data))
}

// Open returns a Reader of the blob. ctx bounds all its reads. For a mapped blob
// Open reads the map. Close releases the read-ahead.
func (b *Blobs) Open(ctx context.Context, id ID) (*Reader, error) {
	if err := b.checkHere(id); err != nil {
		return nil, err
	}
	r := &Reader{ctx: ctx, b: b, core: b.core, id: id, fork: b.core.Fork(), size: int64(id.ByteLength)}
	if id.BlockMap {
		m, err := b.layout(ctx, id, r.fork)
		if err != nil {
			return nil, err
		}
		r.pieces, r.starts, r.size = m.pieces, m.starts, m.size
	}
	return r, nil
}

// Size returns the content length in bytes.
func (r *Reader) Size() int64 { return r.size }

// Close stops the read-ahead. It is safe to call twice.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ahead != nil {
		r.ahead.Close()
		r.ahead = nil
	}
	r.last = span{}
	return nil
}

// ReadAt reads len(p) bytes from offset off.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("hyperblobs: negative offset")
	}
	if off >= r.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > r.size-off
	if short {
		p = p[:r.size-off]
	}
	s := r.cached()
	for len(p) > 0 {
		if !s.contains(off) {
			if s, err = r.spanAt(nil, off, s); err != nil {
				return n, err
			}
		}
		k := copy(p, s.data[off-s.start:])
		p, n, off = p[k:], n+k, off+int64(k)
	}
	r.mu.Lock()
	r.last = s
	r.mu.Unlock()
	if short {
		err = io.EOF
	}
	return n, err
}

func (r *Reader) cached() span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Read reads from the position.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	pos := r.pos
	r.readAheadLocked(pos)
	r.mu.Unlock()
	if pos >= r.size {
		return 0, io.EOF
	}
	if len(p) > 0 {
		// One block at a time: the caller may stop anywhere.
		if s := r.cached(); s.contains(pos) {
			p = p[:min(len(p), len(s.data)-int(pos-s.start))]
		}
	}
	n, err := r.ReadAt(p, pos)
	if errors.Is(err, io.EOF) && n > 0 {
		err = nil
	}
	r.mu.Lock()
	r.readAheadLocked(pos)
	r.pos = pos + int64(n)
	r.mu.Unlock()
	return n, err
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
		return 0, fmt.Errorf("hyperblobs: seek from %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("hyperblobs: seek before the start")
	}
	r.pos = offset
	return offset, nil
}

// spanAt returns the block that holds offset off, in buf if that is large enough.
// prev is where the block read before was, which often is its neighbour.
func (r *Reader) spanAt(buf []byte, off int64, prev span) (span, error) {
	block, start, err := r.locate(off, prev)
	if err != nil {
		return span{}, err
	}
	s, err := r.load(buf, block, start)
	if err == nil && !s.contains(off) {
		err = fmt.Errorf("%w: byte %d is not in block %d", ErrInvalid, off, block)
	}
	return s, err
}

func (r *Reader) load(buf []byte, block uint64, start int64) (span, error) {
	data, err := r.b.block(r.ctx, buf, block)
	if err == nil && r.core.Fork() != r.fork {
		err = hypercore.ErrTruncated
	}
	if err != nil {
		return span{}, fmt.Errorf("read block %d of blob: %w", block, err)
	}
	return r.checked(span{block, start, data})
}

// checked makes sure that the block fits the blob, and that it has content, so
// that reading makes progress.
func (r *Reader) checked(s span) (span, error) {
	end := s.start + int64(len(s.data))
	switch {
	case r.id.BlockMap:
		i, _ := slices.BinarySearch(r.starts, s.start)
		if uint64(len(s.data)) != r.pieces[i].Length {
			return span{}, fmt.Errorf("%w: block %d has %d bytes, its map says %d", ErrInvalid, s.block, len(s.data), r.pieces[i].Length)
		}
	case end > r.size, s.block+1 == r.id.End() && end != r.size:
		return span{}, fmt.Errorf("%w: block %d ends at byte %d of %d", ErrInvalid, s.block, end, r.size)
	case len(s.data) == 0:
		return span{}, fmt.Errorf("%w: block %d is empty", ErrInvalid, s.block)
	}
	return s, nil
}

// locate finds the block that holds offset off and where it begins.
func (r *Reader) locate(off int64, prev span) (block uint64, start int64, err error) {
	if r.id.BlockMap {
		i, found := slices.BinarySearch(r.starts, off)
		if !found {
			i--
		}
		return r.pieces[i].Index, r.starts[i], nil
	}
	switch next := prev.start + int64(len(prev.data)); {
	case off == 0 || r.id.BlockLength == 1:
		return r.id.BlockOffset, 0, nil
	case len(prev.data) > 0 && off == next:
		if prev.block+1 >= r.id.End() {
			return 0, 0, fmt.Errorf("%w: content ends at byte %d of %d", ErrInvalid, next, r.size)
		}
		return prev.block + 1, next, nil
	}
	block, within, err := r.seek(r.id.ByteOffset + uint64(off))
	if err != nil {
		return 0, 0, fmt.Errorf("find byte %d of blob: %w", off, err)
	}
	start = off - int64(within)
	if block < r.id.BlockOffset || block >= r.id.End() || start < 0 {
		return 0, 0, fmt.Errorf("%w: byte %d is in block %d, outside", ErrInvalid, off, block)
	}
	return block, start, nil
}

func (r *Reader) seek(offset uint64) (block, within uint64, err error) {
	if r.b.local {
		return r.core.SeekLocal(offset)
	}
	return r.core.Seek(r.ctx, offset)
}
