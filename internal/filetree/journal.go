package filetree

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrForgotten means that Purge or Prune dropped what is asked for.
var ErrForgotten = errors.New("filetree: not kept any more")

// Record is an operation that was applied.
type Record struct {
	// Seq is its position in the order, from 1. It changes when operations that
	// others made at the same time come before it.
	Seq uint64
	// ID names it for good.
	ID OpID
	// Device made it, Time is when by that device's clock.
	Device     hypercrypto.PublicKey
	DeviceName string
	Time       time.Time
	// Undoes is what it took back, Redo whether that was an undo.
	Undoes OpID
	Redo   bool
	// Changes is how many changes it has.
	Changes int
	// Forgotten says that what it did is not kept any more.
	Forgotten bool

	op opRecord
}

func (v *View) recordOf(ctx context.Context, seq uint64, o opRecord) (Record, error) {
	d, err := v.deviceOf(ctx, o.device)
	return Record{Seq: seq, ID: o.author().ID(), Device: d.key, DeviceName: d.name, Time: clockTime(o.time),
		Undoes: o.undoes, Redo: o.redo, Changes: int(o.changes), Forgotten: o.pruned, op: o}, err
}

// Journal yields the operations before a position, the newest first. Zero is before
// nothing: all of them.
func (v *View) Journal(ctx context.Context, before uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := hyperbee.Range{GT: []byte{keyOp}, LT: []byte{keyOp + 1}, Reverse: true}
		if before > 0 {
			r.LT = numberKey(keyOp, before)
		}
		for kv, err := range v.Entries(ctx, r) {
			var rec Record
			if err == nil {
				rec, err = v.readRecord(ctx, kv)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func (v *View) readRecord(ctx context.Context, kv hyperbee.Entry) (Record, error) {
	o, err := decode(kv.Value, readOpRecord)
	if err != nil {
		return Record{}, fmt.Errorf("read the journal: %w", err)
	}
	return v.recordOf(ctx, seqOf(kv.Key), o)
}

// Op returns the operation at a position.
func (v *View) Op(ctx context.Context, seq uint64) (Record, bool, error) {
	o, ok, err := get(ctx, v, numberKey(keyOp, seq), readOpRecord)
	if !ok || err != nil {
		return Record{}, false, err
	}
	rec, err := v.recordOf(ctx, seq, o)
	return rec, err == nil, err
}

// seqOf returns the number in a key.
func seqOf(key []byte) (n uint64) {
	for _, b := range key[1:] {
		n = n<<8 | uint64(b)
	}
	return n
}

// Effects yields what an operation did, in order. ErrForgotten if that is not known
// any more.
func (v *View) Effects(ctx context.Context, rec Record) iter.Seq2[Effect, error] {
	return v.effects(ctx, rec, false)
}

// effects yields effects in order, or in reverse.
func (v *View) effects(ctx context.Context, rec Record, reverse bool) iter.Seq2[Effect, error] {
	return func(yield func(Effect, error) bool) {
		chunks := max(1, int(rec.op.chunks))
		for n := range chunks {
			if reverse {
				n = chunks - 1 - n
			}
			list, err := v.effectChunk(ctx, rec, n)
			if err != nil {
				yield(Effect{}, fmt.Errorf("effects of operation %d: %w", rec.Seq, err))
				return
			}
			for i := range list {
				if reverse {
					i = len(list) - 1 - i
				}
				if !yield(list[i], nil) {
					return
				}
			}
		}
	}
}

func (v *View) effectChunk(ctx context.Context, rec Record, n int) ([]Effect, error) {
	b := rec.op.inline
	switch {
	case rec.op.pruned:
		return nil, ErrForgotten
	case rec.op.chunks > 0:
		var ok bool
		var err error
		if b, ok, err = v.Get(ctx, effectsKey(rec.Seq, n)); err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w: chunk %d is missing", errState, n)
		}
	}
	return readEffects(b, rec.op.author().Version)
}

// PositionAt returns the position of the last operation before the first one that was
// made after a time: what had come together by then.
func (v *View) PositionAt(ctx context.Context, at time.Time) (uint64, error) {
	n, err := v.totals(ctx)
	if err != nil {
		return 0, err
	}
	low, high := uint64(0), n.ops // low is not after, high+1 is
	for low < high {
		mid := low + (high-low+1)/2
		o, ok, err := get(ctx, v, numberKey(keyOp, mid), readOpRecord)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("%w: no operation %d", errState, mid)
		}
		if clockTime(o.maxTime).After(at) {
			high = mid - 1
		} else {
			low = mid
		}
	}
	return low, nil
}
