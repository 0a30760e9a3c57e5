package space

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"sort"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// Entry is an append in the journal of a space.
type Entry struct {
	// Position counts appends from 1, in the order in which they have their effect.
	Position uint64
	// Version is that of the state right after it, for [Space.ViewAt].
	Version uint64
	// Log and Length are the last node of the append, Count how many there are.
	Log    hypercrypto.Key
	Length uint64
	Count  uint64
	// Time is when the author made it, by the author's clock; zero if a newer program
	// made it.
	Time time.Time
	// Type is that of the collection, "space" for the space itself.
	Type string
	// Skipped says that it had no effect, because it is for spaces of a higher level.
	Skipped bool
}

// journal reads the journal of a state.
type journal struct {
	records
	last uint64 // position
}

func (s *Space) journal(ctx context.Context) (j journal, release func(), err error) {
	tree, release := s.snaps.use()
	j = journal{records: records{tree}}
	if j.last, _, _, err = j.records.last(ctx); err != nil {
		release()
		return j, nil, fmt.Errorf("read the journal: %w", err)
	}
	return j, release, nil
}

func (j journal) at(ctx context.Context, position uint64) (*entry, uint64, error) {
	e, ok, err := j.bee.Get(ctx, keyOf(prefixJournal, number(position)))
	if err != nil {
		return nil, 0, fmt.Errorf("read the journal: %w", err)
	}
	if !ok {
		return nil, 0, fmt.Errorf("%w: the journal lacks position %d", errRecord, position)
	}
	x, err := decodeEntry(e.Value)
	return x, e.Seq + 1, err
}

func (e *entry) public(position, version uint64) Entry {
	x := Entry{Position: position, Version: version, Log: e.log, Length: e.length, Count: e.count, Type: e.typ, Skipped: e.skipped}
	if !e.time.IsZero() {
		x.Time = e.time.Time()
	}
	return x
}

// EntryAt returns the append at a position.
func (s *Space) EntryAt(ctx context.Context, position uint64) (Entry, error) {
	j, release, err := s.journal(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer release()
	if position == 0 || position > j.last {
		return Entry{}, fault.New(fault.NotFound, "space %q has no position %d: it has %d", s.Name(), position, j.last)
	}
	e, version, err := j.at(ctx, position)
	if err != nil {
		return Entry{}, err
	}
	return e.public(position, version), nil
}

// At returns the last append before or at a time: what the space was then is the state
// at its version. The error is of kind NotFound if the space is younger.
//
// An append counts as made no earlier than those before it, so that one of a device
// that was offline counts from when the others could see it, roughly. Times that lie in
// the future of this device, by more than [clock.MaxDrift], come of wrong clocks and
// count for nothing.
func (s *Space) At(ctx context.Context, t time.Time) (Entry, error) {
	j, release, err := s.journal(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer release()
	position, err := j.find(ctx, clock.End(t), clock.End(time.Now().Add(clock.MaxDrift)))
	if err != nil {
		return Entry{}, err
	}
	if position == 0 {
		return Entry{}, fault.New(fault.NotFound, "space %q did not exist at %s", s.Name(), t.Format(time.RFC3339))
	}
	e, version, err := j.at(ctx, position)
	if err != nil {
		return Entry{}, err
	}
	return e.public(position, version), nil
}

// find returns the last position whose effective time is at most t, 0 if there is none.
// Times after limit cannot be.
func (j journal) find(ctx context.Context, t, limit clock.Time) (uint64, error) {
	n, err := j.search(ctx, min(t, limit))
	if err != nil || n == j.last {
		return n, err
	}
	// Where wrong clocks begin, effective times say nothing any more.
	sane, err := j.search(ctx, limit)
	if err != nil || sane == j.last || n < sane {
		return n, err
	}
	found, latest := sane, clock.Time(0)
	if sane > 0 {
		e, _, err := j.at(ctx, sane)
		if err != nil {
			return 0, err
		}
		latest = e.effective
	}
	r := hyperbee.Range{GT: keyOf(prefixJournal, number(sane)), LT: []byte{prefixJournal + 1}}
	for x, err := range j.bee.Entries(ctx, r) {
		if err != nil {
			return 0, fmt.Errorf("read the journal: %w", err)
		}
		e, err := decodeEntry(x.Value)
		if err != nil {
			return 0, err
		}
		if e.time <= limit {
			latest = max(latest, e.time)
		}
		if latest > t {
			break
		}
		found = binary.BigEndian.Uint64(x.Key[1:])
	}
	return found, nil
}

// search is find where all clocks are right.
func (j journal) search(ctx context.Context, t clock.Time) (uint64, error) {
	var failed error
	n := sort.Search(int(j.last), func(i int) bool {
		if failed != nil {
			return true
		}
		e, _, err := j.at(ctx, uint64(i)+1)
		if err != nil {
			failed = err
			return true
		}
		return e.effective > t
	})
	return uint64(n), failed
}

// History yields the journal from a position on, or back to the first from there; 0 is
// the first, or the last. It reads the state that is newest when the loop starts.
func (s *Space) History(ctx context.Context, from uint64, back bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		tree, release := s.snaps.use()
		defer release()
		r := all(prefixJournal)
		r.Reverse = back
		switch {
		case from == 0:
		case back:
			r.LT, r.LTE = nil, keyOf(prefixJournal, number(from))
		default:
			r.GTE = keyOf(prefixJournal, number(from))
		}
		for x, err := range tree.Entries(ctx, r) {
			var e *entry
			if err == nil {
				e, err = decodeEntry(x.Value)
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("read the journal: %w", err))
				return
			}
			if !yield(e.public(binary.BigEndian.Uint64(x.Key[1:]), x.Seq+1), nil) {
				return
			}
		}
	}
}

// Unconfirmed counts the appends whose order is not final yet: those that are not in the
// state that the indexers signed.
func (s *Space) Unconfirmed(ctx context.Context) (uint64, error) {
	j, release, err := s.journal(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	signed := uint64(0)
	for _, v := range s.base.Status().Views {
		signed = max(signed, v.Signed)
	}
	var failed error
	final := sort.Search(int(j.last), func(i int) bool {
		_, version, err := j.at(ctx, uint64(i)+1)
		if err != nil {
			failed = err
		}
		return version > signed
	})
	return j.last - uint64(final), failed
}

// aheadLook is how many appends are looked at for clocks that are ahead.
const aheadLook = 64

// Ahead returns the log whose device wrote the newest of the last operations with a time
// that lies in the future of this device, and by how much; ok is false if none does by more
// than [clock.MaxDrift]. One of the two clocks is wrong.
func (s *Space) Ahead(ctx context.Context, now time.Time) (log hypercrypto.Key, by time.Duration, ok bool, err error) {
	j, release, err := s.journal(ctx)
	if err != nil {
		return log, 0, false, err
	}
	defer release()
	for p := j.last; p > 0 && p+aheadLook > j.last; p-- {
		e, _, err := j.at(ctx, p)
		if err != nil {
			return log, 0, false, err
		}
		if d := e.time.Time().Sub(now); !e.time.IsZero() && d > max(by, clock.MaxDrift) {
			log, by, ok = e.log, d, true
		}
	}
	return log, by, ok, nil
}
