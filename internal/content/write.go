package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

// SmallSize is the largest content that is stored whole, as one part. Larger
// content is cut by itself and shares what it can with the version before.
const SmallSize = hyperblobs.SmallSize

// WriteOptions are the options of [Store.Write].
type WriteOptions struct {
	// Prev is the version before, whoever wrote it. Large content refers to its
	// chunks where they are equal and held here.
	Prev *Ref
	// Known, if set, finds content that is stored already, so that equal content
	// is stored once. It is the caller's choice whether that counts which is not
	// held here.
	Known func(ctx context.Context, size uint64, hash hypercrypto.Hash) (Ref, bool)
	// KnownSize, if set, tells whether Known may know content of a size. Large
	// content of such a size is read twice if the reader can seek: to be hashed, and
	// again to be stored if Known does not know it. Otherwise it is stored as it is
	// read, and dropped again if Known knows it in the end.
	KnownSize func(size uint64) bool
}

// Written tells what was written.
type Written struct {
	Ref Ref
	// Stored is how many bytes were appended to this device's log.
	Stored uint64
}

// bufferBytes is how much goes into one append.
const bufferBytes = 2 << 20

var bufs = sync.Pool{New: func() any { b := make([]byte, bufferBytes); return &b }}

func recycle(b []byte) {
	if len(b) == bufferBytes {
		bufs.Put(&b)
	}
}

// Write stores what r has until EOF. Memory does not depend on its length beyond
// the list of its chunks; reading, hashing and cutting overlap with appending. If
// it fails, the storage of what was appended is freed. opts may be nil.
//
// Content that equals Prev is Prev, and nothing is stored.
func (s *Store) Write(ctx context.Context, r io.Reader, opts *WriteOptions) (Written, error) {
	if s.own == nil {
		return Written{}, ErrReadOnly
	}
	var o WriteOptions
	if opts != nil {
		o = *opts
	}
	if ref, ok, err := o.findFirst(ctx, r); err != nil || ok {
		return Written{Ref: ref}, err
	}
	buf := *bufs.Get().(*[]byte)
	n, err := io.ReadFull(r, buf[:SmallSize+1])
	switch {
	case err == nil:
		return s.writeLarge(ctx, r, buf, n, &o)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		defer recycle(buf)
		return s.writeSmall(ctx, buf[:n], &o)
	default:
		recycle(buf)
		return Written{}, err
	}
}

// writeSmall stores data as one part.
func (s *Store) writeSmall(ctx context.Context, data []byte, o *WriteOptions) (Written, error) {
	ref := Ref{Size: uint64(len(data)), Hash: digest.Sum(data)}
	if known, ok := o.find(ctx, ref.Size, ref.Hash); ok || len(data) == 0 {
		if !ok {
			known = ref
		}
		return Written{Ref: known}, nil
	}
	id, err := s.own.Put(ctx, data)
	if err != nil {
		return Written{}, fmt.Errorf("store content: %w", err)
	}
	ref.Parts = []Part{{Log: s.key, Blob: id}}
	return Written{Ref: ref, Stored: ref.Size}, nil
}

// find returns content that is stored already.
func (o *WriteOptions) find(ctx context.Context, size uint64, hash hypercrypto.Hash) (Ref, bool) {
	if p := o.Prev; p != nil && p.Size == size && p.Hash == hash {
		return *p, true
	}
	if o.Known == nil {
		return Ref{}, false
	}
	return o.Known(ctx, size, hash)
}

// findFirst hashes large content before it is stored, if that may save storing it.
// It leaves r where it was unless it found the content.
func (o *WriteOptions) findFirst(ctx context.Context, r io.Reader) (Ref, bool, error) {
	seeker, ok := r.(io.ReadSeeker)
	if !ok || o.Known == nil || o.KnownSize == nil {
		return Ref{}, false, nil
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return Ref{}, false, nil // a pipe: it has the method and cannot
	}
	end, err := seeker.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = seeker.Seek(start, io.SeekStart)
	}
	if err != nil || end-start <= SmallSize || !o.KnownSize(uint64(end-start)) {
		return Ref{}, false, err
	}
	hash, size, err := HashOf(ctx, seeker)
	if err != nil {
		return Ref{}, false, err
	}
	if ref, ok := o.find(ctx, size, hash); ok {
		return ref, true, nil
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return Ref{}, false, err
}
