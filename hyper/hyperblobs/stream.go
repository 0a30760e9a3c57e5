package hyperblobs

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// streamAhead is how many blocks WriteTo reads before they are written.
const streamAhead = 4

// Get returns the whole content. The memory it takes grows with what is read,
// not with what the ID claims.
func (b *Blobs) Get(ctx context.Context, id ID) ([]byte, error) {
	if !id.BlockMap && id.BlockLength == 1 {
		return b.getSingle(ctx, id)
	}
	r, err := b.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var buf bytes.Buffer
	buf.Grow(int(min(r.size, groupBytes)))
	if _, err := r.WriteTo(&buf); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// getSingle is Get for most small files: one block, no copy.
func (b *Blobs) getSingle(ctx context.Context, id ID) ([]byte, error) {
	if err := b.checkHere(id); err != nil {
		return nil, err
	}
	r := Reader{ctx: ctx, b: b, core: b.core, id: id, fork: b.core.Fork(), size: int64(id.ByteLength)}
	if id.ByteLength == 0 {
		return []byte{}, nil
	}
	s, err := r.load(nil, id.BlockOffset, 0)
	return s.data, err
}

// readAheadLocked asks peers once for everything from offset off on that is not
// held. In the middle of a plain blob it waits for the first read to tell which
// block that is. r.mu must be held.
func (r *Reader) readAheadLocked(off int64) {
	if r.aheadSet || off >= r.size || r.b.local {
		return
	}
	if !r.id.BlockMap {
		start := r.id.BlockOffset
		if r.last.contains(off) {
			start = r.last.block
		} else if off > 0 {
			return
		}
		r.aheadSet = true
		if !r.core.Has(start, r.id.End()) {
			r.ahead = r.core.Download(hypercore.Range{Start: start, End: r.id.End(), Linear: true})
		}
		return
	}
	r.aheadSet = true
	i, found := slices.BinarySearch(r.starts, off)
	if !found {
		i--
	}
	var missing []uint64
	for _, p := range r.pieces[i:] {
		if !r.core.Has(p.Index, p.Index+1) {
			missing = append(missing, p.Index)
		}
	}
	if len(missing) > 0 {
		r.ahead = r.core.Download(hypercore.Range{Blocks: missing, Linear: true})
	}
}

// WriteTo writes everything from the position on to w. Reading overlaps with
// writing.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	r.mu.Lock()
	pos := r.pos
	r.readAheadLocked(pos)
	r.mu.Unlock()
	if pos >= r.size {
		return 0, nil
	}
	ctx, cancel := context.WithCancel(r.ctx)
	spans := make(chan streamed, streamAhead)
	// One more is being read, and one being written.
	free := make(chan []byte, streamAhead+2)
	for range cap(free) {
		free <- nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(spans)
		r.stream(ctx, pos, spans, free)
	}()
	defer func() {
		cancel()
		<-done
		r.mu.Lock()
		r.pos = pos + total
		r.mu.Unlock()
	}()
	for s := range spans {
		if s.err != nil {
			return total, s.err
		}
		n, err := w.Write(s.data)
		total += int64(n)
		if err != nil {
			return total, err
		}
		free <- s.buf
	}
	if total < r.size-pos {
		return total, context.Cause(ctx)
	}
	return total, nil
}

type streamed struct {
	data []byte
	buf  []byte // what data lies in
	err  error
}

// stream sends the content from offset off on, block by block. The buffers that
// it reads into come from free, to which the receiver returns them.
func (r *Reader) stream(ctx context.Context, off int64, out chan<- streamed, free <-chan []byte) {
	var s span
	for off < r.size {
		var buf []byte
		select {
		case buf = <-free:
		case <-ctx.Done():
			return
		}
		var err error
		s, err = r.spanAt(buf, off, s)
		item := streamed{buf: s.data, err: err}
		if err == nil {
			item.data = s.data[off-s.start:]
		}
		select {
		case out <- item:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		off = s.start + int64(len(s.data))
	}
}
