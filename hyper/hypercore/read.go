package hypercore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tradle/cloudpal/hyper/storage"
)

// Get returns block i. If it is not held, it is fetched from peers and checked
// against the signed tree: Get then waits, for as long as ctx allows, until some
// peer has it. On a log that grows, a position beyond the end waits for the log
// to reach it; on a snapshot it is [ErrOutOfRange]. The result is the caller's.
//
// Errors: ctx's, [ErrClosed], [ErrTruncated] on a snapshot whose block was cut
// off, [ErrDecrypt].
func (c *Core) Get(ctx context.Context, i uint64) ([]byte, error) {
	b, err := c.GetRaw(ctx, i)
	if err != nil {
		return nil, err
	}
	return c.open1(i, b)
}

// GetLocal returns block i if it is held here, else [ErrNotAvailable].
func (c *Core) GetLocal(i uint64) ([]byte, error) {
	b, err := c.rawLocal(i, nil)
	if err != nil {
		return nil, err
	}
	return c.open1(i, b)
}

// AppendLocal is GetLocal that appends the block to dst and returns the
// extended slice, for readers that use their buffers again.
func (c *Core) AppendLocal(dst []byte, i uint64) ([]byte, error) {
	b, err := c.rawLocal(i, dst)
	if err != nil {
		return nil, err
	}
	value, err := c.open1(i, b[len(dst):])
	if err != nil {
		return nil, err
	}
	return append(b[:len(dst)], value...), nil
}

// WithoutPeers returns a context under which [Core.Get] and [Core.GetRaw], and so all
// that reads blocks by them, never wait for a peer: a block that is not held is a
// [MissingError]. missed is told of each, also if whoever reads makes another error of
// it.
func WithoutPeers(ctx context.Context, missed func(*MissingError)) context.Context {
	return context.WithValue(ctx, withoutPeers{}, missed)
}

type withoutPeers struct{}

// GetRaw is Get without decryption: it returns the block in stored form.
func (c *Core) GetRaw(ctx context.Context, i uint64) ([]byte, error) {
	for {
		b, err := c.rawLocal(i, nil)
		if !errors.Is(err, ErrNotAvailable) {
			return b, err
		}
		if c.snap == nil && (c.branch != nil || c.draft != nil) && i >= c.Length() {
			return nil, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, i, c.Length())
		}
		l := c.under()
		if missed, ok := ctx.Value(withoutPeers{}).(func(*MissingError)); ok {
			m := &MissingError{Key: l.key, Block: i}
			missed(m)
			return nil, m
		}
		w, err := l.repl.want(i)
		if err != nil {
			return nil, err
		}
		err = c.waitBlock(ctx, w)
		value := l.repl.unwant(w)
		if err != nil {
			return nil, fmt.Errorf("get block %d: %w", i, err)
		}
		// A snapshot or a branch may have another block there.
		if value != nil && c.snap == nil && c.branch == nil {
			return value, nil
		}
	}
}

func (c *Core) waitBlock(ctx context.Context, w *blockWait) error {
	var cut <-chan struct{}
	if c.snap != nil {
		cut = c.snap.cut
	}
	select {
	case <-w.ready:
		return w.err
	case <-cut:
		return nil // look again: the block may be beyond the cut
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return ErrClosed
	}
}

// rawLocal appends the stored form of block i to dst.
func (c *Core) rawLocal(i uint64, dst []byte) ([]byte, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	if c.snap != nil {
		if err := c.snap.check(i); err != nil {
			return nil, err
		}
	}
	if c.branch != nil {
		return c.branch.block(i, dst)
	}
	if c.draft != nil {
		return c.draft.block(i, dst)
	}
	return c.log.block(i, dst)
}

// block appends the stored form of a held block to dst.
func (l *log) block(i uint64, dst []byte) ([]byte, error) {
	if !l.holds(i) {
		return nil, fmt.Errorf("%w: block %d", ErrNotAvailable, i)
	}
	b, err := l.st.Block(i, dst)
	if err != nil {
		if errors.Is(err, storage.ErrNotFound) {
			return nil, fmt.Errorf("%w: block %d", ErrNotAvailable, i)
		}
		return nil, fmt.Errorf("read block %d: %w", i, err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// open1 decrypts a stored block in place.
func (c *Core) open1(i uint64, b []byte) ([]byte, error) {
	enc := c.encryption()
	if enc == nil {
		return b, nil
	}
	padding := enc.Padding()
	if len(b) < padding {
		return nil, fmt.Errorf("%w: block %d has only %d bytes", ErrDecrypt, i, len(b))
	}
	if err := enc.Decrypt(i, b); err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", ErrDecrypt, i, err)
	}
	return b[padding:], nil
}

// Has tells whether all blocks from start up to but not including end are held
// here.
func (c *Core) Has(start, end uint64) bool {
	if start >= end {
		return true
	}
	if end > c.Length() {
		return false
	}
	if c.branch != nil {
		return true
	}
	if c.draft != nil {
		return c.draft.has(start, end)
	}
	return c.log.st.Has(start, end)
}

// Held calls yield for the runs of blocks held between start and end.
func (c *Core) Held(start, end uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(uint64, uint64) bool) {
		end := min(end, c.Length())
		l := c.log
		for start < end {
			from, ok := l.st.NextHeld(start)
			to := l.st.NextMissing(from)
			if !ok || from >= end || !yield(from, min(to, end)) {
				return
			}
			start = to
		}
	}
}

// Blocks yields the blocks from start up to but not including end, fetching
// what is not held. After an error it stops.
func (c *Core) Blocks(ctx context.Context, start, end uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !c.Has(start, end) && c.branch == nil {
			d := c.Download(Range{Start: start, End: end, Linear: true})
			defer d.Close()
		}
		for i := start; i < end; i++ {
			b, err := c.Get(ctx, i)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// Live yields the blocks from start on and then every block that is appended,
// until ctx ends or the loop is left. When the log is truncated below what was
// yielded, the sequence ends with [ErrTruncated].
func (c *Core) Live(ctx context.Context, start uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var cut atomicMin
		cut.reset()
		cancel := c.Events(func(e Event) {
			if e.Type == EventTruncate {
				cut.lower(e.Index)
			}
		})
		defer cancel()
		for i := start; ; i++ {
			if cut.load() < i {
				yield(nil, ErrTruncated)
				return
			}
			b, err := c.Get(ctx, i)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}
