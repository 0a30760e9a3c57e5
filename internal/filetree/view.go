package filetree

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// View reads a tree. It is not safe for concurrent use: make one per goroutine, which
// costs nothing.
type View struct {
	state
	devices map[uint64]deviceRecord
}

// NewView returns the view of a state that Apply wrote.
func NewView(r Reader) *View {
	return &View{state: state{Reader: r}, devices: make(map[uint64]deviceRecord)}
}

func (v *View) deviceOf(ctx context.Context, number uint64) (deviceRecord, error) {
	d, ok := v.devices[number]
	if ok {
		return d, nil
	}
	d, err := v.state.device(ctx, number)
	if err == nil {
		v.devices[number] = d
	}
	return d, err
}

func (v *View) entryOf(ctx context.Context, path string, e *record) (Entry, error) {
	d, err := v.deviceOf(ctx, e.written.device)
	if err != nil {
		return Entry{}, fmt.Errorf("%q: %w", path, err)
	}
	return Entry{Path: path, Version: e.version, Item: e.item, Author: d.key, Written: clockTime(e.written.at), Parents: e.parents}, nil
}

// Lookup returns what is at a path, with Content.
func (v *View) Lookup(ctx context.Context, path string) (Entry, bool, error) {
	rec, ok, err := v.entry(ctx, path)
	if !ok || err != nil {
		return Entry{}, false, err
	}
	e, err := v.entryOf(ctx, path, rec)
	if err == nil && e.Kind == File {
		e.Content, err = v.Content(ctx, e.Hash)
	}
	return e, err == nil, err
}

// Content returns the reference of a content that something in the tree, the history
// or the trash has, nil for none.
func (v *View) Content(ctx context.Context, h hypercrypto.Hash) ([]byte, error) {
	all, err := v.Contents(ctx, h)
	if len(all) == 0 || err != nil {
		return nil, err
	}
	return all[0], nil
}

// Contents returns all references that authors gave for a content. What the first
// gives is to be checked against the hash; if it is not right another may be.
func (v *View) Contents(ctx context.Context, h hypercrypto.Hash) ([][]byte, error) {
	c, ok, err := v.content(ctx, h)
	if !ok || err != nil || c.refs == 0 {
		return nil, err
	}
	return c.contents, nil
}

// Walk yields everything below a directory, empty for the root: a directory, then
// what is in it, names in the order of their bytes. Content is not filled in: ask
// [View.Content].
func (v *View) Walk(ctx context.Context, dir string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for path, rec := range v.records(ctx, below(keyEntry, dir), yield) {
			e, err := v.entryOf(ctx, path, rec)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// records yields the entries of a range. An error goes to fail.
func (v *View) records(ctx context.Context, r hyperbee.Range, fail func(Entry, error) bool) iter.Seq2[string, *record] {
	return func(yield func(string, *record) bool) {
		for kv, err := range v.Entries(ctx, r) {
			var rec record
			if err == nil {
				rec, err = decode(kv.Value, readRecord)
			}
			if err != nil {
				fail(Entry{}, fmt.Errorf("walk: %w", err))
				return
			}
			if !yield(keyPath(kv.Key), &rec) {
				return
			}
		}
	}
}

// List yields what is in a directory, empty for the root, in the order of names. See
// [View.Walk].
func (v *View) List(ctx context.Context, dir string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r := below(keyEntry, dir)
		failed := false
		fail := func(e Entry, err error) bool {
			failed = true
			return yield(e, err)
		}
		for again := true; again; {
			again = false
			for path, rec := range v.records(ctx, r, fail) {
				e, err := v.entryOf(ctx, path, rec)
				if !yield(e, err) || err != nil {
					return
				}
				if rec.item.Kind == Dir { // go on behind what is in it
					r.GT, r.GTE = nil, below(keyEntry, path).LT
					again = true
					break
				}
			}
			if failed {
				return
			}
		}
	}
}

// Count is what a tree has.
type Count struct {
	Files, Dirs, Symlinks uint64
	// Bytes is the size of all files.
	Bytes uint64
	// Conflicts are open conflict copies.
	Conflicts uint64
	// Trash is how many deleted entries are restorable, History how many replaced
	// versions are kept.
	Trash, History uint64
	// Garbage is how many contents nothing refers to any more.
	Garbage uint64
	// Ops is how many operations were applied: the newest position.
	Ops uint64
	// Newest is the time of the latest of them.
	Newest time.Time
}

// Count returns what the tree has, without counting.
func (v *View) Count(ctx context.Context) (Count, error) {
	n, err := v.totals(ctx)
	return Count{Files: n.files, Dirs: n.dirs, Symlinks: n.link, Bytes: n.bytes, Conflicts: n.conflicts, Trash: n.trash,
		History: n.history, Garbage: n.garbage, Ops: n.ops, Newest: clockTime(n.maxTime)}, err
}

// Conflict is an open conflict.
type Conflict struct {
	// Copy is the conflict copy.
	Copy Entry
	// Of is the path of the original; something may be there or not.
	Of string
	// Original is what is at Of.
	Original *Entry
}

// Conflicts yields the open conflicts in the order of the copies' paths.
func (v *View) Conflicts(ctx context.Context) iter.Seq2[Conflict, error] {
	return func(yield func(Conflict, error) bool) {
		for kv, err := range v.Entries(ctx, all(keyConflict)) {
			var c Conflict
			if err == nil {
				c, err = v.conflict(ctx, keyPath(kv.Key), string(kv.Value))
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

func (v *View) conflict(ctx context.Context, path, of string) (c Conflict, err error) {
	c.Of = of
	var ok bool
	if c.Copy, ok, err = v.Lookup(ctx, path); err != nil {
		return c, err
	}
	if !ok {
		return c, fmt.Errorf("%w: no conflict copy %q", errState, path)
	}
	e, ok, err := v.Lookup(ctx, of)
	if ok {
		c.Original = &e
	}
	return c, err
}

// Deleted is an entry in the trash.
type Deleted struct {
	Entry
	// By is the device that deleted it, At when.
	By hypercrypto.PublicKey
	At time.Time
}

// Trash yields what is in the trash, what was deleted first first. Content is not
// filled in.
func (v *View) Trash(ctx context.Context) iter.Seq2[Deleted, error] {
	return func(yield func(Deleted, error) bool) {
		for kv, err := range v.Entries(ctx, all(keyTrash)) {
			var d Deleted
			if err == nil {
				d, err = v.deletedAt(ctx, kv.Key)
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

func (v *View) deletedAt(ctx context.Context, key []byte) (d Deleted, err error) {
	f, err := v.trashed(ctx, key)
	if err != nil {
		return d, err
	}
	if d.Entry, err = v.entryOf(ctx, f.path, &f.record); err != nil {
		return d, err
	}
	by, err := v.deviceOf(ctx, f.gone.device)
	d.By, d.At = by.key, clockTime(f.gone.at)
	return d, err
}

// trashed returns what a key of the trash stands for.
func (s *state) trashed(ctx context.Context, key []byte) (*former, error) {
	if len(key) != len(trashKey(0, Version{})) {
		return nil, fmt.Errorf("%w: key %x", errState, key)
	}
	f, ok, err := s.former(ctx, Version(key[len(key)-len(Version{}):]))
	if err == nil && (!ok || !f.deleted()) {
		err = fmt.Errorf("%w: key %x has no deleted entry", errState, key)
	}
	return f, err
}
