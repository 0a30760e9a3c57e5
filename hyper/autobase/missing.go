package autobase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// A base that jumped goes on while most of the state that it jumped to still comes from
// peers. Nothing here waits for a block with the base locked: where one is missing that
// is read, the order stops as before a node whose key is missing, the block is fetched
// ahead of the others, and then it goes on. What is read first at a start is here before
// the start is to begin there.

// ErrMissing: blocks of the state are missing that it takes to apply or to write a node,
// and no peer has brought them yet. [Status] names them. Nothing was written; try again.
var ErrMissing = errors.New("autobase: blocks of the state have not come from peers yet")

// missingTime is how long a write waits for missing blocks.
const missingTime = 10 * time.Second

// Need is a block of the state that is missing and waited for.
type Need struct {
	Core  hypercrypto.Key
	Block uint64
}

// fill is what is missing of a core since a jump.
type fill struct {
	*hypercore.Download
	core *hypercore.Core // open for it
}

// miss notes that a block was read that is missing.
func (e *engine) miss(m *hypercore.MissingError) {
	n := Need{m.Key, m.Block}
	e.misses, e.missed = e.misses+1, n
	if _, ok := e.needs[n]; ok || e.seek == nil {
		return
	}
	e.needs[n] = struct{}{}
	e.seek(n)
}

// short tells whether err is that a block is missing, which was asked for then.
func short(err error) bool {
	var m *hypercore.MissingError
	return errors.As(err, &m)
}

// seekBlock fetches a block ahead of others. b.mu is held.
func (b *Base) seekBlock(n Need) {
	b.event(Event{Type: EventMissing, Key: n.Core, Length: n.Block + 1})
	b.wg.Go(func() {
		if c, err := b.store.Get(b.ctx, corestore.GetOptions{Key: &n.Core}); err == nil {
			_, err = c.GetRaw(b.ctx, n.Block)
			if err = errors.Join(err, c.Close()); err != nil {
				b.log.Debug("base", "fetch block", n.Block, "of", n.Core, "err", err)
			}
		}
		b.mu.Lock()
		delete(b.e.needs, n)
		b.mu.Unlock()
		b.poke()
	})
}

// fillIn fetches what is missing of the state that is not computed here. Its logs are
// open already, without wanting anything from peers: what they get is made here.
func (e *engine) fillIn(ctx context.Context) error {
	if e.scratch {
		return nil
	}
	e.stopFilling()
	add := func(log *hypercore.Core, length uint64) error {
		if log.Has(0, length) {
			return nil
		}
		key := log.Key()
		c, err := e.store.Get(ctx, corestore.GetOptions{Key: &key})
		if err != nil {
			return fmt.Errorf("fetch the rest of the state: %w", err)
		}
		f := fill{c.Download(hypercore.Range{End: length}), c}
		e.fills = append(e.fills, f)
		e.await(f.Done())
		return nil
	}
	if err := add(e.system, e.signed); err != nil {
		return err
	}
	for _, v := range e.views {
		if err := add(v.under, min(v.draft.Length(), v.under.Length())); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) stopFilling() {
	for _, f := range e.fills {
		f.close()
	}
	e.fills = nil
}

func (f fill) close() {
	f.Close()
	f.core.Close()
}

// filled takes note of what has come.
func (e *engine) filled(ctx context.Context) error {
	if len(e.fills) > 0 {
		e.fills = slices.DeleteFunc(e.fills, func(f fill) bool {
			done := isClosed(f.Done())
			if done {
				f.close()
			}
			return done
		})
	}
	if len(e.fills) == 0 && e.membersLeft {
		return e.openMembers(ctx)
	}
	return nil
}

// bootable checks that what a start reads first in a version of the system view is
// here.
func (e *engine) bootable(ctx context.Context, length uint64) error {
	if length == 0 || e.system.Has(0, min(length, e.system.Length())) {
		return nil
	}
	t, err := e.sys.tree.Checkout(length)
	if err != nil {
		return err
	}
	defer t.Close()
	return e.readFirst(ctx, t)
}

// readFirst reads what a start reads first in a system view.
func (e *engine) readFirst(ctx context.Context, t *hyperbee.Tree) error {
	info, err := readInfo(ctx, t)
	if err != nil {
		return err
	}
	keys := []hypercrypto.Key{e.local.key, e.lineage.base}
	for _, r := range info.Heads {
		keys = append(keys, r.Key)
	}
	for _, r := range info.Indexers {
		keys = append(keys, r.Key)
	}
	return readMembers(ctx, t, keys)
}

func readMembers(ctx context.Context, t *hyperbee.Tree, keys []hypercrypto.Key) error {
	for _, k := range keys {
		if _, _, err := t.Get(ctx, oplog.MemberKey(k)); err != nil {
			return err
		}
	}
	return nil
}

// wholeSystem checks that the first blocks of the system view are all here.
func (e *engine) wholeSystem(ctx context.Context, length uint64) error {
	if e.sys.draft.Has(0, length) {
		return nil
	}
	for i := range length {
		if !e.sys.draft.Has(i, i+1) {
			_, err := e.sys.draft.GetRaw(ctx, i)
			return err
		}
	}
	return nil
}

// stuck tells whether the newest state is not known for want of blocks.
func (e *engine) stuck() bool { return e.applyStuck || e.loadStuck || e.behind() }

// behind tells whether own nodes are yet to be loaded, as after a jump, or while the base
// holds still for one: nothing can follow them before.
func (e *engine) behind() bool {
	w := e.local
	return w.length() < w.core.Length() && w.frozen == nil && len(e.missingKeys()) == 0
}
