package autobase

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// forkCall is what Apply asked for by Host.Fork.
type forkCall struct {
	indexers []hypercrypto.Key
	length   uint64 // of the system view
}

// Fork replaces all indexers of the base, without their consent: the state of
// the base as of a confirmed length of the system view stays, goes to new cores
// that the given indexers sign, and all nodes that are not part of it are applied
// again. It is for a base whose indexers are gone for good, as a majority of them
// has to be there to confirm anything, their own replacement included.
//
// system names the system core of the base and a length of it that was confirmed
// when the fork was decided on: [Status] has both. The call has no effect and
// returns false if that is not the present core, which a fork ends, if that
// length is not the end of a confirmed state, or the end of the very first one, or
// if one of the indexers is no member with nodes now, or was removed in that state.
//
// An indexer that is no member in that state is one by the fork, so that a device
// that comes when all indexers are gone can go on. Until Apply adds it as an
// indexer again, which it has to, only optimistic nodes of it have an effect: the
// node that asks for the fork is one.
//
// A fork needs no confirmation by the indexers before: it takes effect as soon as
// a node that asks for it is applied. Apply has to decide who may ask, and nobody
// may while the former indexers go on. Of two forks from the same core peers take
// the one that they hear of first, and stay apart.
//
// On an encrypted base the keys of what is added to the views after a fork
// follow from what is in clear: who knows the key of the base and mirrors it can
// read the views, though not the logs. The format has it so; with [Options.Keys] it
// is not so.
func (h *Host) Fork(indexers []hypercrypto.Key, system Ref) (forked bool, err error) {
	err = h.do(func() error {
		forked, err = h.e.mayFork(h.ctx, indexers, system)
		if forked {
			h.e.forking = &forkCall{slices.Clone(indexers), system.Length}
		}
		return err
	})
	return forked, err
}

func (e *engine) mayFork(ctx context.Context, indexers []hypercrypto.Key, system Ref) (bool, error) {
	confirmed := e.indexed.length
	if e.confirming && len(e.applied) > 0 {
		confirmed = e.applied[len(e.applied)-1].after.length
	}
	if e.forking != nil || len(e.keys.entropies) >= maxForks || system.Key != e.system.Key() || system.Length > confirmed || len(indexers) == 0 {
		return false, nil
	}
	if start, ends, err := e.sys.flushAt(ctx, system.Length); err != nil || !ends || start < 2 {
		return false, err
	}
	var refs []oplog.Ref
	for i, k := range indexers {
		if slices.Contains(indexers[:i], k) {
			return false, nil
		}
		now, err := e.sys.member(ctx, k)
		if err != nil {
			return false, err
		}
		then, err := e.recordAt(ctx, &point{length: system.Length}, k)
		if err != nil {
			return false, err
		}
		if !now.found || now.member.Removed || now.member.Length == 0 || then.member.Removed {
			return false, nil
		}
		refs = append(refs, oplog.Ref{Key: k, Length: then.member.Length})
	}
	// What the fork is going to read must be here.
	if err := e.wholeSystem(ctx, system.Length); err != nil {
		return false, err
	}
	info, err := e.sys.infoAt(ctx, system.Length)
	if err != nil {
		return false, err
	}
	for i, r := range info.Views {
		if v := e.mapped(i); v != nil && r.Length > 0 && r.Length < v.draft.Length() {
			if _, err := v.draft.GetRaw(ctx, r.Length-1); err != nil {
				return false, err
			}
		}
	}
	_, err = e.signers(ctx, refs) // their manifests
	return err == nil, err
}

// fork does what Apply asked for.
func (e *engine) fork(ctx context.Context) error {
	f, s := e.forking, e.sys
	e.forking = nil
	info, err := s.infoAt(ctx, f.length)
	if err != nil {
		return err
	}
	places := info.Views
	info.Version, info.Pending, info.Indexers, info.Views = max(2, info.Version), nil, nil, nil
	for _, k := range f.indexers {
		r, err := e.recordAt(ctx, &point{length: f.length}, k)
		if err != nil {
			return err
		}
		info.Indexers = append(info.Indexers, oplog.Ref{Key: k, Length: r.member.Length})
	}
	entropy := nextEntropy(f.length, info.Entropy, f.indexers)
	info.Entropy = &entropy
	sg, err := e.signers(ctx, info.Indexers)
	if err != nil {
		return err
	}
	sg.version, sg.entropy = max(2, sg.version), &entropy

	for i, v := range e.forkOrder(len(places)) {
		length := uint64(0)
		if v.mapped >= 0 && v.mapped < len(places) {
			length = places[v.mapped].Length
		}
		if err := e.forkView(ctx, v, length, sg); err != nil {
			return fmt.Errorf("fork view %q: %w", v.name, err)
		}
		v.mapped = i
		info.Views = append(info.Views, oplog.Ref{Key: v.key, Length: length})
	}

	keys := append(slices.Clone(e.keys.entropies), hypercrypto.Sum(nsEncryption[:], entropy[:]))
	data := manifestData{compat: uint64(len(keys))}.appendTo(nil)
	if e.keys.core != nil {
		data = e.keys.core.Manifest().UserData
	}
	ring, err := e.keyCore(ctx, sg, keys, data)
	if err != nil {
		return err
	}
	info.EncryptionLength = uint64(len(keys))

	// What comes after that state is applied again, and with it what begins the
	// epochs of keys since.
	if err := e.readEpoch(ctx, f.length); err != nil {
		ring.Close()
		return err
	}
	if err := s.rewrite(ctx, f.length, info); err != nil {
		ring.Close()
		return err
	}
	length := s.draft.Length()
	m := e.lineage.manifest(systemName, sg, hypercrypto.TreeState{Hash: s.draft.TreeHash(), Length: length}, []hypercrypto.Key{ring.Key()}, forkData(e.system.Manifest(), length))
	core, err := e.viewCore(ctx, systemName, m)
	if err != nil {
		ring.Close()
		return err
	}
	if err := s.draft.Rebase(ctx, core); err != nil {
		return fmt.Errorf("fork the system view: %w", err)
	}
	if err := e.setSystem(core, length); err != nil {
		return err
	}
	e.keys.close()
	e.keys = keyChain{core: ring, entropies: keys}
	if err := e.useKeys(); err != nil {
		return err
	}
	e.valuedAt = min(e.valuedAt, length)
	e.emit(Event{Type: EventEpoch})
	return e.rewind(ctx)
}

// forkOrder returns the views in the order that they have after a fork: first
// those that the state has, of which there are n, then those that are empty.
func (e *engine) forkOrder(n int) []*view {
	place := func(v *view) int {
		if v.mapped < 0 {
			return n
		}
		return min(v.mapped, n)
	}
	order := slices.Clone(e.views)
	slices.SortStableFunc(order, func(a, b *view) int { return place(a) - place(b) })
	return order
}

// forkView cuts a view and moves it to a core of the fork.
func (e *engine) forkView(ctx context.Context, v *view, length uint64, s *signers) error {
	if length > 0 && length < v.draft.Length() {
		// With the last block comes what is needed to go on from there.
		if _, err := v.draft.GetRaw(ctx, length-1); err != nil {
			return err
		}
	}
	if err := v.cut(ctx, length); err != nil {
		return err
	}
	m := e.lineage.manifest(v.name, s, hypercrypto.TreeState{Hash: v.draft.TreeHash(), Length: length}, nil, forkData(v.under.Manifest(), length))
	core, err := e.viewCore(ctx, v.name, m)
	if err != nil {
		return err
	}
	if err := v.draft.Rebase(ctx, core); err != nil {
		core.Close()
		return err
	}
	v.under.Close()
	v.under = core
	v.viewState = viewState{length: length, key: core.Key()}
	return nil
}

// forkData returns the user data of the manifest that a core of length blocks
// has after a fork.
func forkData(before *hypercrypto.Manifest, length uint64) []byte {
	if before != nil && before.Version > 1 {
		return before.UserData
	}
	return manifestData{compat: length}.appendTo(nil)
}

// rewind begins an epoch at a state that nodes which were confirmed need not be
// part of.
func (e *engine) rewind(ctx context.Context) error {
	e.indexed, e.lin, e.applied = nil, nil, nil
	for _, w := range e.writers {
		r, err := e.sys.written(ctx, w.key)
		if err != nil {
			return err
		}
		at := r.member.Length
		w.stopFetching()
		w.frozen, w.locked = nil, 0
		if w == e.local {
			// The last of the own nodes may not be in the log yet.
			if err := e.reload(w, at); err != nil {
				return err
			}
		} else {
			w.nodes, w.offset = nil, at
		}
		w.given = w.offset
		if w != e.local && !e.held {
			w.fetch()
		}
	}
	if err := e.fillIn(ctx); err != nil {
		return err
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	e.landReceipts()
	e.rewound = true
	e.wake()
	return nil
}

// reload makes the nodes of a log begin at another length.
func (e *engine) reload(w *writer, at uint64) error {
	if at >= w.offset {
		w.drop(at)
		return nil
	}
	var nodes []*node
	for i := at; i < w.offset; i++ {
		b, err := e.block(w, i)
		if err != nil {
			return fmt.Errorf("read the own log: %w", err)
		}
		nodes = append(nodes, &node{Ref: oplog.Ref{Key: w.key, Length: i + 1}, w: w, block: b})
	}
	w.nodes, w.offset = append(nodes, w.nodes...), at
	return nil
}

// flushAt returns where the flush begins that made the view length blocks long, and
// whether there is one.
func (s *system) flushAt(ctx context.Context, length uint64) (start uint64, ok bool, err error) {
	if length < 2 || length > s.draft.Length() {
		return 0, false, nil
	}
	for seq := length - 1; seq > 0; seq-- {
		x, err := s.tree.GetBySeq(ctx, seq)
		if err != nil {
			return 0, false, fmt.Errorf("read state of the base: %w", err)
		}
		switch info := slices.Equal(x.Key, oplog.InfoKey()); {
		case seq == length-1 && !info:
			return 0, false, nil
		case seq < length-1 && info:
			return seq + 1, true, nil
		}
	}
	return 1, true, nil
}

var errNoFlush = errors.New("autobase: the system view has no flush there")

// rewrite cuts the view to the given length, where a flush ends, and writes that
// flush again with another state of the base. The order of its entries is the
// reverse then.
func (s *system) rewrite(ctx context.Context, length uint64, info *oplog.Info) error {
	keep, ok, err := s.flushAt(ctx, length)
	if err == nil && !ok {
		err = errNoFlush
	}
	if err != nil {
		return err
	}
	type pair struct{ key, value []byte }
	var entries []pair
	for seq := length - 2; seq >= keep; seq-- {
		x, err := s.tree.GetBySeq(ctx, seq)
		if err != nil {
			return fmt.Errorf("read the system view: %w", err)
		}
		entries = append(entries, pair{x.Key, x.Value})
	}
	if err := s.undo(ctx, info, keep); err != nil {
		return err
	}
	clear(s.known)
	b := s.tree.Batch()
	defer b.Close()
	for _, x := range entries {
		if err := b.Put(ctx, x.key, x.value, nil); err != nil {
			return err
		}
	}
	if err := b.Put(ctx, oplog.InfoKey(), info.AppendTo(nil), nil); err != nil {
		return err
	}
	if err := b.Flush(ctx); err != nil {
		return fmt.Errorf("write state of the base: %w", err)
	}
	return nil
}
