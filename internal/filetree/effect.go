package filetree

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// What tells what an operation did at a path.
type What uint8

// The kinds of effects.
const (
	// Wrote: After is at Path, where Before was. If From is given After was there.
	Wrote What = iota + 1
	// Removed: Before left Path, for the trash or the history.
	Removed
	// Moved: After, which was at From, is at Path.
	Moved
	// MovedAside: After, which was at From, is the conflict copy Path.
	MovedAside
	// Absorbed: After is in the history of Before, which stays at Path: both are equal,
	// or differ in mode or modification time only. If From is given it was there.
	Absorbed
	// Skipped: the change of Path had no effect, for a Reason.
	Skipped
	// Dropped: versions at Path or below, or anywhere, are not kept any more.
	Dropped
)

// Reason tells why a change had no effect.
type Reason uint8

// The reasons.
const (
	// Invalid: it is malformed or of a later version.
	Invalid Reason = iota + 1
	// NotThere: what it was to delete or move was gone already.
	NotThere
	// Edited: what it was to delete was edited meanwhile.
	Edited
	// MovedAway: what it was to delete or move was moved meanwhile.
	MovedAway
	// NotEmpty: the directory that it was to delete has something in it.
	NotEmpty
	// Settled: somebody settled the conflict before.
	Settled
	// TooLarge: paths would be too long, or too many entries be touched.
	TooLarge
	// IntoItself: of what it was to move and the target, one is in the other now.
	IntoItself
	// Taken: there is a snapshot of this name.
	Taken
)

// String returns the reason in words.
func (r Reason) String() string {
	names := [...]string{"", "it is malformed or of a later version", "it was gone already", "it was edited meanwhile",
		"it was moved meanwhile", "the directory is not empty", "the conflict was settled before",
		"it would touch too much", "one would be in the other", "the name is taken"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Effect is what an operation did at one path.
type Effect struct {
	What What
	// Change is the number of the change that did it.
	Change int
	Path   string
	From   string
	// Before and After are versions, zero for nothing.
	Before, After Version
	Reason        Reason
}

// Fields of an effect, behind What.
const (
	effectOwn    = 1 << (iota + 4) // After is the version that the change has
	effectBefore                   // Before follows
	effectAfter                    // After follows
	effectFrom                     // From follows
	effectReason                   // Reason follows
)

const (
	// maxChunk is the length from which on effects go into a chunk of their own.
	maxChunk = 16 << 10
	// maxInlineEffects is how long effects in the record of their operation may be.
	maxInlineEffects = 2 << 10
)

// effectWriter encodes the effects of an operation, in chunks that can be read on
// their own.
type effectWriter struct {
	t          *tx
	b          []byte
	chunks     int
	change     int
	path, from string
}

func (w *effectWriter) add(ctx context.Context, e Effect) error {
	e.Change = w.t.index
	own := e.After != Version{} && e.After == w.t.version()
	head := uint64(e.What)
	for i, has := range []bool{own, e.Before != Version{}, e.After != Version{} && !own, e.From != "", e.Reason != 0} {
		if has {
			head |= effectOwn << i
		}
	}
	b := compact.AppendUint(w.b, head)
	b = compact.AppendUint(b, uint64(e.Change-w.change))
	w.change = e.Change
	b = appendShared(b, &w.path, e.Path)
	if head&effectBefore != 0 {
		b = append(b, e.Before[:]...)
	}
	if head&effectAfter != 0 {
		b = append(b, e.After[:]...)
	}
	if head&effectFrom != 0 {
		b = appendShared(b, &w.from, e.From)
	}
	if head&effectReason != 0 {
		b = compact.AppendUint(b, uint64(e.Reason))
	}
	if w.b = b; len(b) >= maxChunk {
		return w.flush(ctx)
	}
	return nil
}

func (w *effectWriter) flush(ctx context.Context) error {
	if err := w.t.s.Put(ctx, effectsKey(w.t.n.ops, w.chunks), w.b); err != nil {
		return err
	}
	w.chunks++
	w.b, w.change, w.path, w.from = w.b[:0], 0, "", ""
	return nil
}

// finish returns the number of chunks, or what is to be kept inline.
func (w *effectWriter) finish(ctx context.Context) (chunks uint64, inline []byte, err error) {
	if w.chunks == 0 && len(w.b) <= maxInlineEffects {
		return 0, w.b, nil
	}
	if len(w.b) > 0 {
		err = w.flush(ctx)
	}
	return uint64(w.chunks), nil, err
}

// readEffects decodes one chunk. own gives the version of a change.
func readEffects(b []byte, own func(int) Version) ([]Effect, error) {
	var out []Effect
	var path, from string
	change := 0
	r := compact.NewReader(b)
	for r.Len() > 0 {
		head := r.Uint()
		e := Effect{What: What(head & (effectOwn - 1))}
		change += int(min(r.Uint(), MaxChanges))
		e.Change = change
		e.Path = readShared(&r, &path, MaxPath)
		if head&effectBefore != 0 {
			copy(e.Before[:], r.Fixed(len(e.Before)))
		}
		if head&effectAfter != 0 {
			copy(e.After[:], r.Fixed(len(e.After)))
		}
		if head&effectFrom != 0 {
			e.From = readShared(&r, &from, MaxPath)
		}
		if head&effectReason != 0 {
			e.Reason = Reason(r.Uint())
		}
		if head&effectOwn != 0 {
			e.After = own(change)
		}
		out = append(out, e)
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: effects: %w", errState, r.Err())
	}
	return out, nil
}
