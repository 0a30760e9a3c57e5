package hyperbee

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// HistoryRange selects operations by seq. The zero value is all of them.
type HistoryRange struct {
	Start   uint64 // first seq; 0 is 1
	End     uint64 // seq after the last; 0 is the version
	Reverse bool
	Limit   int  // at most so many; 0 is no limit, a negative number none
	Live    bool // go on with new operations until the context ends; not with Reverse or End
}

// Change is one operation of the history.
type Change struct {
	Entry
	Deleted bool
	// Inner says that the block holds no node of the tree, so that no version can
	// end with it: it lies inside a batch. Other blocks may, too.
	Inner bool
}

// History yields the operations in the order of the log. A sub-tree yields only
// its own. After an error it stops; a live history ends with the context's
// error.
func (t *Tree) History(ctx context.Context, h HistoryRange) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if err := t.history(ctx, h, yield); err != nil {
			yield(Change{}, err)
		}
	}
}

var errHistoryLive = errors.New("hyperbee: a live history has no end and no reverse order")

func (t *Tree) history(ctx context.Context, h HistoryRange, yield func(Change, error) bool) error {
	if h.Live && (h.Reverse || h.End != 0 || t.view != nil) {
		return errHistoryLive
	}
	if h.Limit < 0 {
		return nil
	}
	start, left := max(1, h.Start), h.Limit
	for {
		r, err := t.reader(ctx)
		if err != nil {
			return err
		}
		end := r.version
		if h.End != 0 {
			end = min(end, h.End)
		}
		more, err := t.historyRun(ctx, r, start, end, h.Reverse, &left, yield)
		fork := r.fork
		r.close()
		if err != nil || !more || !h.Live {
			return err
		}
		start = max(start, end)
		if err := t.s.waitLength(ctx, start+1); err != nil {
			return err
		}
		if t.s.core.Fork() != fork {
			return fmt.Errorf("live history at seq %d: %w", start, hypercore.ErrTruncated)
		}
	}
}

// historyRun yields the operations start to end and reports whether the loop
// wants more. left counts down a limit other than 0.
func (t *Tree) historyRun(ctx context.Context, r *reader, start, end uint64, reverse bool, left *int, yield func(Change, error) bool) (bool, error) {
	for i := start; i < end; i++ {
		seq := i
		if reverse {
			seq = end - 1 - (i - start)
		}
		b, err := r.block(ctx, seq, true)
		if err != nil {
			return false, err
		}
		if !bytes.HasPrefix(b.key, t.prefix) {
			continue
		}
		deleted, err := b.isDeletion(seq)
		if err != nil {
			return false, fmt.Errorf("block %d: %w", seq, err)
		}
		_, hasNode, err := b.level(0)
		if err != nil {
			return false, fmt.Errorf("block %d: %w", seq, err)
		}
		if !yield(Change{Entry: t.entry(seq, &b), Deleted: deleted, Inner: !hasNode}, nil) {
			return false, nil
		}
		if *left > 0 {
			if *left--; *left == 0 {
				return false, nil
			}
		}
	}
	return true, nil
}
