package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/internal/digest"
)

// buffers is how many read buffers are in turn: one being filled, one being
// appended, one between them.
const buffers = 3

// stream stores large content. One goroutine reads, hashes and cuts, the other
// one, the appender, finds equal chunks and appends the rest.
type stream struct {
	ctx  context.Context
	s    *Store
	work chan filled
	free chan []byte
	done chan struct{} // closed when the appender has ended

	// The appender's until done is closed.
	shared *shared
	parts  []Part
	own    []hyperblobs.Run // appended
	stored uint64           // bytes of own
	group  [][]byte         // chunks to be appended together
	items  []item           // chunks of the buffer, in order

	mu  sync.Mutex
	err error // first failure of the appender
}

// filled is a buffer with the chunks found in it.
type filled struct {
	buf    []byte
	chunks [][]byte
}

// item is a chunk that is stored, or else position pending of the group.
type item struct {
	part    Part
	pending int
}

// writeLarge stores buf[:n] and what r has until EOF. It takes buf.
func (s *Store) writeLarge(ctx context.Context, r io.Reader, buf []byte, n int, o *WriteOptions) (Written, error) {
	logs := s.logs()
	defer logs.close()
	shared, err := newShared(ctx, s, logs, o.Prev)
	if err != nil {
		recycle(buf)
		return Written{}, err
	}
	w := &stream{ctx: ctx, s: s, shared: shared, work: make(chan filled), free: make(chan []byte, buffers), done: make(chan struct{})}
	for range buffers - 1 {
		w.free <- nil
	}
	go w.appendAll()
	ref, err := w.read(r, buf, n)
	close(w.work)
	<-w.done
	for len(w.free) > 0 {
		recycle(<-w.free)
	}
	if err == nil {
		err = w.failed()
	}
	if err == nil {
		if known, ok := o.find(ctx, ref.Size, ref.Hash); ok {
			w.drop()
			return Written{Ref: known}, nil
		}
		err = w.limit(logs)
	}
	if err == nil {
		var list uint64
		ref, list, err = s.newRef(ctx, ref, w.parts)
		w.stored += list
	}
	if err != nil {
		w.drop()
		return Written{}, fmt.Errorf("store content: %w", err)
	}
	return Written{Ref: ref, Stored: w.stored}, nil
}

// read is the reader. It returns the size and hash of the content.
func (w *stream) read(r io.Reader, buf []byte, n int) (Ref, error) {
	h := digest.New()
	_, _ = h.Write(buf[:n]) // never fails, nor below
	ref := Ref{Size: uint64(n)}
	var cut hyperblobs.Chunker
	for eof := false; !eof; {
		for n < len(buf) && !eof {
			k, err := r.Read(buf[n:])
			_, _ = h.Write(buf[n : n+k])
			n += k
			ref.Size += uint64(k)
			eof = errors.Is(err, io.EOF)
			if err == nil && w.ctx.Err() != nil {
				err = context.Cause(w.ctx)
			}
			if err != nil && !eof {
				recycle(buf)
				return Ref{}, err
			}
		}
		f := filled{buf: buf}
		rest := buf[:n]
		for len(rest) >= cut.Need() || eof && len(rest) > 0 {
			k := cut.Cut(rest)
			f.chunks = append(f.chunks, rest[:k:k])
			rest = rest[k:]
		}
		// The appender never waits for the reader, so it gives one back.
		next := <-w.free
		if len(next) < cut.Need()*2 || len(next) < bufferBytes {
			next = newBuffer(cut.Need())
		}
		n = copy(next, rest)
		w.work <- f
		buf = next
		if err := w.failed(); err != nil {
			recycle(buf)
			return Ref{}, err
		}
	}
	recycle(buf)
	ref.Hash = h.Sum()
	return ref, nil
}

// newBuffer returns a buffer with room for several chunks.
func newBuffer(need int) []byte {
	if 2*need <= bufferBytes {
		return *bufs.Get().(*[]byte)
	}
	return make([]byte, 2*need)
}

func (w *stream) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// appendAll is the appender.
func (w *stream) appendAll() {
	defer close(w.done)
	for f := range w.work {
		if w.failed() == nil {
			if err := w.appendChunks(f.chunks); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
		}
		w.free <- f.buf
	}
}

// appendChunks lists the chunks as the next ones and appends those that no log has.
func (w *stream) appendChunks(chunks [][]byte) error {
	pending := make(map[uint64]int) // positions in the group, by hash
	hashes := make([]uint64, 0, len(chunks))
	w.group, w.items = w.group[:0], w.items[:0]
	for _, c := range chunks {
		h := uint64(0)
		if len(w.parts)+len(w.items) < maxWhileWriting {
			p, ok := w.shared.findBase(c)
			if !ok {
				h = w.shared.hash(c)
				p, ok = w.shared.findOwn(c, h)
			}
			if ok {
				w.items = append(w.items, item{part: p})
				continue
			}
			if i, ok := pending[h]; ok && bytes.Equal(w.group[i], c) {
				w.items = append(w.items, item{pending: i})
				continue
			}
			pending[h] = len(w.group)
		}
		hashes = append(hashes, h)
		w.items = append(w.items, item{pending: len(w.group)})
		w.group = append(w.group, c)
	}
	stored, err := w.put(w.group)
	if err != nil {
		return err
	}
	for i := range w.group {
		w.shared.add(hashes[i], stored[i])
	}
	for _, it := range w.items {
		if it.part.Size() == 0 {
			it.part = stored[it.pending]
		}
		w.parts = addPart(w.parts, it.part)
	}
	clear(w.group)
	return nil
}

// put appends chunks to the own log and returns where each is.
func (w *stream) put(chunks [][]byte) ([]Part, error) {
	if len(chunks) == 0 {
		return nil, nil
	}
	id, err := w.s.own.PutBlocks(w.ctx, chunks)
	if err != nil {
		return nil, err
	}
	w.stored += id.ByteLength
	w.own = append(w.own, hyperblobs.Run{Start: id.BlockOffset, End: id.End()})
	parts := make([]Part, len(chunks))
	for i, c := range chunks {
		n := uint64(len(c))
		parts[i] = Part{Log: w.s.key, Blob: hyperblobs.ID{
			BlockOffset: id.BlockOffset + uint64(i), BlockLength: 1, ByteOffset: id.ByteOffset, ByteLength: n,
		}}
		id.ByteOffset += n
	}
	return parts, nil
}

// drop frees the storage of what was appended. The log does not get shorter.
func (w *stream) drop() {
	for _, r := range hyperblobs.JoinRuns(w.own) {
		// A failure leaves unused blocks behind, which is no error.
		_ = w.s.own.Core().Clear(context.WithoutCancel(w.ctx), r.Start, r.End)
	}
}
