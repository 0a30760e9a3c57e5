package hyperdrive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

// commitKey is the record that carries the time of a version that has no timed
// entry, such as one that only removes files. It lies outside the files.
var commitKey = []byte("commit\x00at")

// appendCommit appends the value of that record: {"at":1700000000000}.
func appendCommit(b []byte, at time.Time) []byte {
	return append(appendMillis(append(b, `{"at":`...), at), '}')
}

// timeOf returns when the block of a change was written, zero if it does not
// say.
func timeOf(c hyperbee.Entry) time.Time {
	if c.Value == nil {
		return time.Time{}
	}
	e := Entry{Metadata: c.Value}
	if string(c.Key) != string(commitKey) {
		if _, ok := pathOf(c.Key); !ok || decodeEntry(c.Value, &e) != nil {
			return time.Time{}
		}
	}
	return e.Meta().At
}

// maxClockScan bounds how far back the last time of a drive is looked for.
const maxClockScan = 1000

// commitTime returns the time of the next commit.
func (d *Drive) commitTime(ctx context.Context) (time.Time, error) {
	if d.clock.started.Load() {
		return d.clock.next(), nil
	}
	for c, err := range d.tree.History(ctx, hyperbee.HistoryRange{Reverse: true, Limit: maxClockScan}) {
		if err != nil {
			return time.Time{}, fmt.Errorf("find the last time: %w", err)
		}
		if at := timeOf(c.Entry); !at.IsZero() {
			d.clock.atLeast(at)
			break
		}
	}
	d.clock.started.Store(true)
	return d.clock.next(), nil
}

// VersionAt returns the version that the drive had at a time: the last one
// written until then. Blocks of other software do not say when they were
// written; of these, versions count from when they were first seen here. It is 1,
// the empty drive, for times before the first version.
func (d *Drive) VersionAt(ctx context.Context, t time.Time) (uint64, error) {
	length := d.Version()
	low, high, found := uint64(1), length, uint64(0)
	for low < high {
		mid := low + (high-low)/2
		seq, at, err := d.nextTimed(ctx, mid, high)
		switch {
		case err != nil:
			return 0, err
		case seq == 0:
			high = mid
		case at.After(t):
			high = mid
		default:
			found, low = seq, seq+1
		}
	}
	seen, err := d.seenAt(t)
	if err != nil {
		return 0, err
	}
	return min(max(found+1, seen, 1), max(length, 1)), nil
}

// nextTimed returns the first block from start on, below end, that says when it
// was written; 0 if there is none.
func (d *Drive) nextTimed(ctx context.Context, start, end uint64) (uint64, time.Time, error) {
	for seq := start; seq < end; seq++ {
		e, err := d.tree.GetBySeq(ctx, seq)
		if err != nil {
			return 0, time.Time{}, fmt.Errorf("read the time of version %d: %w", seq+1, err)
		}
		if at := timeOf(e); !at.IsZero() {
			return seq, at, nil
		}
	}
	return 0, time.Time{}, nil
}

// At returns the drive as it was at a time; see [Drive.VersionAt]. The view must
// be closed.
func (d *Drive) At(ctx context.Context, t time.Time) (*View, error) {
	version, err := d.VersionAt(ctx, t)
	if err != nil {
		return nil, err
	}
	return d.Checkout(version)
}

// Change is something that happened to a path.
type Change struct {
	// Version is the version that the change is part of; all changes made
	// together have the same. Checkout of Version-1 need not be possible.
	Version uint64
	// Time is when it was written; zero if the writer did not say.
	Time time.Time
	Path string
	// Entry is what was written; nil if the path was removed.
	Entry *Entry
}

// History yields the changes below folder, and of the entry at folder itself,
// newest first.
func (v *View) History(ctx context.Context, folder string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		clean, err := CleanFolder(folder)
		if err != nil {
			yield(Change{}, err)
			return
		}
		var commit Change // the one that the next block belongs to
		for c, err := range v.tree.History(ctx, hyperbee.HistoryRange{Reverse: true}) {
			if err != nil {
				yield(Change{}, fmt.Errorf("history: %w", err))
				return
			}
			change, visible, err := commit.next(c)
			if commit = change; err == nil && (!visible || !within(change.Path, clean)) {
				continue
			}
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// next returns the change of the block before the one of c. A version of ours
// ends in timed blocks of one time and can begin with removals and entries that
// have no room for a time.
func (c Change) next(block hyperbee.Change) (n Change, visible bool, err error) {
	n = Change{Version: block.Seq + 1, Time: timeOf(block.Entry)}
	n.Path, visible = pathOf(block.Key)
	if visible && !block.Deleted {
		n.Entry, err = entryOf(block.Entry, n.Path)
	}
	switch {
	case block.Inner && c.Version != 0,
		!n.Time.IsZero() && n.Time.Equal(c.Time),
		!c.Time.IsZero() && leads(block):
		n.Version, n.Time = c.Version, c.Time
	}
	if errors.Is(err, ErrEntry) {
		err = nil // a faulty entry of the past is no reason to hide the rest
	}
	return n, visible, err
}

// leads tells whether a block can be one of those without a time that a version
// of ours may begin with.
func leads(block hyperbee.Change) bool {
	if block.Deleted {
		return true
	}
	var e Entry
	_, visible := pathOf(block.Key)
	return visible && decodeEntry(block.Value, &e) == nil && !e.canHold()
}

// WholeVersion returns the first version from version on that is not a part of a
// change: files that were written or removed together are one version, the last
// of the numbers that they take up, and the numbers before it name states that
// never were. It is version itself if that is whole or beyond the end. What other
// software wrote in a batch is told apart only in part, since its blocks do not
// say where the batch ends.
func (d *Drive) WholeVersion(ctx context.Context, version uint64) (uint64, error) {
	if version <= 1 || version >= d.Version() {
		return version, nil
	}
	whole := version
	var last hyperbee.Change // the one that whole ends with
	for c, err := range d.tree.History(ctx, hyperbee.HistoryRange{Start: version - 1}) {
		if err != nil {
			return 0, fmt.Errorf("find the end of the change at version %d: %w", version, err)
		}
		at := timeOf(c.Entry)
		switch {
		case last.Seq == 0: // the block that the version ends with
		case last.Inner, !at.IsZero() && (leads(last) || at.Equal(timeOf(last.Entry))):
		case leads(last) && leads(c):
			continue // it depends on what comes after them
		default:
			return whole, nil
		}
		whole, last = c.Seq+1, c
	}
	return whole, nil
}

// within tells whether path is folder or lies below it.
func within(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || rest[0] == '/')
}
