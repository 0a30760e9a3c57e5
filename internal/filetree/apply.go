package filetree

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
)

// maxTouched bounds how many entries one operation changes, those in moved
// directories and dropped from the trash included.
const maxTouched = 1 << 20

// Apply writes the effect of an operation to s. It is a function of the state and
// its arguments. ErrOp means that the operation has no effect, and that s is as it
// was; after any other error s must be dropped. A change that came too late has the
// effect that docs/formats/files.md says, or none; which one, is in the journal.
func Apply(ctx context.Context, s Store, by Author, body []byte) error {
	op, err := DecodeOp(body)
	if err != nil {
		return err
	}
	if len(op.Changes) == 0 {
		return fmt.Errorf("%w: no changes", ErrOp)
	}
	t := &tx{state: state{Reader: s}, s: s, by: by, left: maxTouched, dirs: make(map[string]struct{}), lifted: make(map[string]struct{})}
	if err := t.begin(ctx); err != nil {
		return err
	}
	for i := range op.Changes {
		t.index = i
		if err := t.change(ctx, &op.Changes[i]); err != nil {
			return fmt.Errorf("apply change %d: %w", i, err)
		}
	}
	return t.finish(ctx, op)
}

// tx is the application of one operation.
type tx struct {
	state
	s    Store
	by   Author
	n    totals
	left int // entries that may still be touched

	device uint64 // number of the author's device
	now    stamp
	index  int                 // of the change
	extra  int                 // directories that the change brought into being
	dirs   map[string]struct{} // known to be directories
	lifted map[string]struct{} // paths that the change took something from
	val    []byte

	effects effectWriter
}

func (t *tx) begin(ctx context.Context) (err error) {
	if t.n, err = t.totals(ctx); err != nil {
		return err
	}
	t.n.ops++
	t.n.maxTime = max(t.n.maxTime, t.by.Time)
	if t.device, err = t.register(ctx); err != nil {
		return err
	}
	t.now = stamp{at: t.by.Time, device: t.device}
	t.effects = effectWriter{t: t}
	return nil
}

// register returns the number of the author's device, and notes its name.
func (t *tx) register(ctx context.Context) (uint64, error) {
	d := deviceRecord{key: t.by.Device, name: cut(t.by.DeviceName, MaxName)}
	key := append([]byte{keyNumber}, d.key[:]...)
	number, ok, err := get(ctx, t, key, (*compact.Reader).Uint)
	if err != nil {
		return 0, err
	}
	if ok {
		old, err := t.state.device(ctx, number)
		if err != nil || old.name == d.name {
			return number, err
		}
		return number, t.s.Put(ctx, numberKey(keyDevice, number), d.append(nil))
	}
	t.n.devices++
	number = t.n.devices
	if err := t.s.Put(ctx, key, compact.AppendUint(nil, number)); err != nil {
		return 0, err
	}
	return number, t.s.Put(ctx, numberKey(keyDevice, number), d.append(nil))
}

func (t *tx) finish(ctx context.Context, op *Op) error {
	prev, _, err := get(ctx, t, numberKey(keyOp, t.n.ops-1), readOpRecord)
	if err != nil {
		return err
	}
	rec := opRecord{chain: chain(prev.chain, t.by.ID()), log: t.by.Log, length: t.by.Length, device: t.device, time: t.by.Time, maxTime: t.n.maxTime,
		undoes: op.Undoes, redo: op.Redo, changes: uint64(len(op.Changes))}
	if rec.chunks, rec.inline, err = t.effects.finish(ctx); err != nil {
		return err
	}
	if err := t.s.Put(ctx, numberKey(keyOp, t.n.ops), rec.append(nil)); err != nil {
		return err
	}
	return t.s.Put(ctx, []byte{keyTotals}, t.n.append(nil))
}

func (t *tx) change(ctx context.Context, c *Change) error {
	t.extra = 0
	clear(t.lifted)
	if c.Check() != nil {
		return t.skip(ctx, c, Invalid)
	}
	switch c.Action {
	case Put, Settle:
		return t.put(ctx, c)
	case Delete:
		return t.delete(ctx, c)
	case Move:
		return t.move(ctx, c)
	case Purge:
		return t.purge(ctx, c)
	case Prune:
		return t.prune(ctx, c)
	case TakeSnapshot:
		return t.takeSnapshot(ctx, c)
	case DropSnapshot:
		return t.dropSnapshot(ctx, c)
	}
	return t.skip(ctx, c, Invalid)
}

// skip notes that a change has no effect.
func (t *tx) skip(ctx context.Context, c *Change, why Reason) error {
	return t.effects.add(ctx, Effect{What: Skipped, Path: c.Path, Reason: why})
}

// version returns the name of what the current change writes.
func (t *tx) version() Version { return t.by.Version(t.index) }

// write puts an entry where none is counted yet.
func (t *tx) write(ctx context.Context, path string, e *record) error {
	t.count(e, 1)
	return t.rewrite(ctx, path, e)
}

// rewrite puts an entry over one that was there.
func (t *tx) rewrite(ctx context.Context, path string, e *record) error {
	t.key = pathKey(t.key[:0], keyEntry, path)
	t.val = e.append(t.val[:0])
	return t.s.Put(ctx, t.key, t.val)
}

// lift takes an entry out of the tree, with what says that it is there.
func (t *tx) lift(ctx context.Context, path string, e *record) error {
	t.count(e, -1)
	t.lifted[path] = struct{}{}
	if e.item.Kind == Dir {
		clear(t.dirs)
	}
	if e.conflict {
		if err := t.unlistCopy(ctx, path); err != nil {
			return err
		}
	}
	if e.forwarded() {
		if err := t.s.Del(ctx, versionKey(keyForward, e.version)); err != nil {
			return err
		}
	}
	t.key = pathKey(t.key[:0], keyEntry, path)
	return t.s.Del(ctx, t.key)
}

func (t *tx) count(e *record, n int) {
	by := uint64(n) // wraps around
	switch e.item.Kind {
	case File:
		t.n.files += by
		t.n.bytes += by * e.item.Size
	case Dir:
		t.n.dirs += by
	default:
		t.n.link += by
	}
}

// retire keeps what left the tree at a path. A zero next puts it into the trash;
// else the caller makes it one of the parents of next.
func (t *tx) retire(ctx context.Context, path string, e *record, next Version) error {
	f := former{record: *e, path: path, next: next, died: t.n.ops, gone: t.now, links: 1}
	f.conflict, f.moved = false, stamp{}
	if f.deleted() {
		f.links = 0
		t.n.trash++
		if err := t.s.Put(ctx, trashKey(t.now.at, e.version), nil0); err != nil {
			return err
		}
	} else {
		t.n.history++
	}
	return t.s.Put(ctx, versionKey(keyHistory, e.version), f.append(nil))
}

// nil0 is the value of keys that have none.
var nil0 = []byte{}

// link makes a version, if it is still known, one of the parents of e.
func (t *tx) link(ctx context.Context, e *record, v Version) error {
	if v == (Version{}) || slices.Contains(e.parents, v) {
		return nil
	}
	f, ok, err := t.former(ctx, v)
	if !ok || err != nil {
		return err
	}
	f.links++
	e.parents = append(e.parents, v)
	if !f.deleted() {
		return t.s.Put(ctx, versionKey(keyHistory, v), f.append(nil))
	}
	// What continues leaves the trash.
	f.next = e.version
	return t.untrash(ctx, f, true)
}

// untrash takes a version out of the trash, into the history or into nothing.
func (t *tx) untrash(ctx context.Context, f *former, keep bool) error {
	t.n.trash--
	if err := t.s.Del(ctx, trashKey(f.gone.at, f.version)); err != nil {
		return err
	}
	if !keep {
		return t.s.Del(ctx, versionKey(keyHistory, f.version))
	}
	t.n.history++
	return t.s.Put(ctx, versionKey(keyHistory, f.version), f.append(nil))
}

// newer tells whether a comes after b: by time, then by key of the device, then by
// version.
func (t *tx) newer(ctx context.Context, a stamp, av Version, b stamp, bv Version) (bool, error) {
	if a.at != b.at {
		return a.at > b.at, nil
	}
	if a.device != b.device {
		x, err := t.state.device(ctx, a.device)
		y, err2 := t.state.device(ctx, b.device)
		return string(x.key[:]) > string(y.key[:]), errors.Join(err, err2)
	}
	return string(av[:]) > string(bv[:]), nil
}

// sameContent tells whether two items are equal but for mode and time.
func sameContent(a, b *Item) bool {
	if a.Kind != b.Kind {
		return false
	}
	return a.Kind == Dir || a.Kind == File && a.Hash == b.Hash && a.Size == b.Size || a.Kind == Symlink && a.Target == b.Target
}

// same tells whether two items are equal but for the time.
func same(a, b *Item) bool { return sameContent(a, b) && a.Mode == b.Mode }
