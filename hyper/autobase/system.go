package autobase

import (
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// system is the record of a base about itself: a bee with one entry per member
// and one about the whole, written after every node that is applied.
type system struct {
	draft *hypercore.Core
	tree  *hyperbee.Tree

	info    oplog.Info // with what is not written yet
	changes []change   // of members, since the last flush
	linked  []oplog.Ref
	updated bool // the indexers changed since the last flush

	known map[hypercrypto.Key]record // members as they are written
}

// change is a member whose entry is going to be written.
type change struct {
	key    hypercrypto.Key
	member oplog.Member
}

// record is an entry of a member, or that there is none.
type record struct {
	member oplog.Member
	found  bool
}

// saved is what a system was like before something that may be taken back.
type saved struct {
	info    oplog.Info
	changes []change
	linked  []oplog.Ref
	updated bool
}

func newSystem(draft *hypercore.Core) *system {
	return &system{
		draft: draft, tree: hyperbee.New(draft, &hyperbee.Options{NoExtension: true}),
		info: oplog.Info{Version: 1}, known: make(map[hypercrypto.Key]record),
	}
}

// load reads the state that is written.
func (s *system) load(ctx context.Context) error {
	clear(s.known)
	s.changes, s.linked, s.updated = nil, nil, false
	info, err := readInfo(ctx, s.tree)
	if err != nil {
		return err
	}
	s.info = *info
	return nil
}

// readInfo reads the state of a base in a version of its system view; that of an
// empty one if there is none.
func readInfo(ctx context.Context, t *hyperbee.Tree) (*oplog.Info, error) {
	e, ok, err := t.Get(ctx, oplog.InfoKey())
	if err != nil {
		return nil, fmt.Errorf("read state of the base: %w", err)
	}
	if !ok {
		return &oplog.Info{Version: 1}, nil
	}
	return oplog.DecodeInfo(e.Value)
}

// infoAt reads the state as of a length of the system view.
func (s *system) infoAt(ctx context.Context, length uint64) (*oplog.Info, error) {
	t, err := s.tree.Checkout(length)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return readInfo(ctx, t)
}

func (s *system) save() saved {
	return saved{info: cloneInfo(&s.info), changes: slices.Clone(s.changes), linked: slices.Clone(s.linked), updated: s.updated}
}

func (s *system) restore(v saved) {
	s.info, s.changes, s.linked, s.updated = v.info, v.changes, v.linked, v.updated
}

func cloneInfo(i *oplog.Info) oplog.Info {
	c := *i
	c.Pending, c.Indexers = slices.Clone(i.Pending), slices.Clone(i.Indexers)
	c.Heads, c.Views = slices.Clone(i.Heads), slices.Clone(i.Views)
	return c
}

// undo makes s what it was after an earlier flush.
func (s *system) undo(ctx context.Context, info *oplog.Info, length uint64) error {
	if s.draft.Length() != length {
		if err := s.draft.Truncate(ctx, length, nil); err != nil {
			return fmt.Errorf("take back the system view: %w", err)
		}
		clear(s.known)
	}
	s.info = cloneInfo(info)
	s.changes, s.linked, s.updated = nil, nil, false
	return nil
}

// written returns a member's entry as it was flushed last.
func (s *system) written(ctx context.Context, k hypercrypto.Key) (record, error) {
	if r, ok := s.known[k]; ok {
		return r, nil
	}
	e, ok, err := s.tree.Get(ctx, oplog.MemberKey(k))
	if err != nil {
		return record{}, fmt.Errorf("read member %s: %w", k, err)
	}
	r := record{found: ok}
	if ok {
		if r.member, err = oplog.DecodeMember(e.Value); err != nil {
			return record{}, err
		}
	}
	s.known[k] = r
	return r, nil
}

// member returns a member's entry as of now.
func (s *system) member(ctx context.Context, k hypercrypto.Key) (record, error) {
	for i := len(s.changes) - 1; i >= 0; i-- {
		if s.changes[i].key == k {
			return record{s.changes[i].member, true}, nil
		}
	}
	return s.written(ctx, k)
}

// active tells whether k may write.
func (s *system) active(ctx context.Context, k hypercrypto.Key) (bool, error) {
	r, err := s.member(ctx, k)
	return r.found && !r.member.Removed, err
}

// linkedLength returns how much of a log was linked since the last flush.
func (s *system) linkedLength(k hypercrypto.Key) (uint64, bool) {
	for _, r := range s.linked {
		if r.Key == k {
			return r.Length, true
		}
	}
	return 0, false
}

func (s *system) link(r oplog.Ref) {
	for i := range s.linked {
		if s.linked[i].Key == r.Key {
			s.linked[i].Length = r.Length
			return
		}
	}
	s.linked = append(s.linked, r)
}

// linkable tells whether a node is news.
func (s *system) linkable(ctx context.Context, n oplog.Ref) (bool, error) {
	if l, ok := s.linkedLength(n.Key); ok {
		return n.Length > l, nil
	}
	r, err := s.written(ctx, n.Key)
	return n.Length > r.member.Length, err
}

// addHead makes a node a head of the base. The order that results is part of the
// format.
func (s *system) addHead(n oplog.Ref, heads []oplog.Ref) {
	hs := s.info.Heads
	for i := 0; i < len(hs); {
		h := hs[i]
		named := slices.Contains(heads, h)
		if !named && h.Key == n.Key {
			if h.Length > n.Length {
				s.info.Heads = hs
				return
			}
			named = true
		}
		if !named {
			i++
			continue
		}
		last := len(hs) - 1
		hs[i] = hs[last]
		hs = hs[:last]
	}
	s.info.Heads = append(hs, n)
	s.link(n)
	if i := slices.Index(s.info.Pending, n.Key); i >= 0 {
		s.dropPending(i)
		s.info.Indexers = append(s.info.Indexers, n)
		s.updated = true
	} else if i := s.indexer(n.Key); i >= 0 {
		s.info.Indexers[i].Length = n.Length
	}
}

func (s *system) dropPending(i int) {
	p := s.info.Pending
	last := len(p) - 1
	p[i] = p[last]
	s.info.Pending = p[:last]
}

// indexer returns the place of k among the indexers, -1 if it is none.
func (s *system) indexer(k hypercrypto.Key) int {
	return slices.IndexFunc(s.info.Indexers, func(r oplog.Ref) bool { return r.Key == k })
}

// add makes k a member.
func (s *system) add(ctx context.Context, k hypercrypto.Key, indexer bool) error {
	r, err := s.member(ctx, k)
	if err != nil {
		return err
	}
	linked, _ := s.linkedLength(k)
	m := oplog.Member{Indexer: indexer, Length: max(linked, r.member.Length)}
	if !r.found || r.member != m {
		s.changes = append(s.changes, change{k, m})
	}
	if !r.found || r.member.Removed {
		s.info.Members++
	}
	at := s.indexer(k)
	switch {
	case !indexer && r.member.Indexer:
		if at >= 0 {
			s.info.Indexers = slices.Delete(s.info.Indexers, at, at+1)
			s.updated = true
		}
	case indexer && m.Length == 0:
		if !slices.Contains(s.info.Pending, k) {
			s.info.Pending = append(s.info.Pending, k)
		}
	case indexer:
		if i := slices.Index(s.info.Pending, k); i >= 0 {
			s.dropPending(i)
		}
		if at >= 0 {
			s.info.Indexers[at].Length = m.Length
		} else {
			s.info.Indexers = append(s.info.Indexers, oplog.Ref{Key: k, Length: m.Length})
			s.updated = true
		}
	}
	return nil
}

// remove ends the membership of k. A pending indexer stays pending.
func (s *system) remove(ctx context.Context, k hypercrypto.Key) error {
	if at := s.indexer(k); at >= 0 {
		s.info.Indexers = slices.Delete(s.info.Indexers, at, at+1)
		s.updated = true
	}
	r, err := s.member(ctx, k)
	if err != nil {
		return err
	}
	if r.found && r.member.Removed {
		return nil
	}
	s.changes = append(s.changes, change{k, oplog.Member{Removed: true, Length: r.member.Length}})
	if r.found {
		s.info.Members--
	}
	return nil
}

// ack takes the node of somebody who is no member.
func (s *system) ack(ctx context.Context, k hypercrypto.Key) error {
	r, err := s.member(ctx, k)
	if err != nil {
		return err
	}
	linked, _ := s.linkedLength(k)
	if r.found && r.member.Length == linked {
		return nil
	}
	m := r.member
	if !r.found {
		m = oplog.Member{Removed: true}
	}
	m.Length = linked
	s.changes = append(s.changes, change{k, m})
	return nil
}

// flush writes what changed, and returns how long the view is then.
func (s *system) flush(ctx context.Context) (uint64, error) {
	b := s.tree.Batch()
	defer b.Close()
	put := func(k hypercrypto.Key, m oplog.Member) error {
		s.known[k] = record{m, true}
		return b.Put(ctx, oplog.MemberKey(k), m.AppendTo(nil), nil)
	}
	removed := make([]bool, len(s.linked))
	for i, r := range s.linked {
		m, err := s.member(ctx, r.Key)
		if err != nil {
			return 0, err
		}
		removed[i] = !m.found || m.member.Removed
	}
	for _, c := range s.changes {
		if _, ok := s.linkedLength(c.key); ok {
			continue
		}
		if err := put(c.key, c.member); err != nil {
			return 0, err
		}
	}
	for i, r := range s.linked {
		m := oplog.Member{Indexer: s.indexer(r.Key) >= 0, Removed: removed[i], Length: r.Length}
		if err := put(r.Key, m); err != nil {
			return 0, err
		}
	}
	if err := b.Put(ctx, oplog.InfoKey(), s.info.AppendTo(nil), nil); err != nil {
		return 0, err
	}
	if err := b.Flush(ctx); err != nil {
		return 0, fmt.Errorf("write state of the base: %w", err)
	}
	s.changes, s.linked, s.updated = nil, nil, false
	return s.draft.Length(), nil
}

// flushLength returns how long the view is going to be.
func (s *system) flushLength() uint64 {
	n := max(1, s.draft.Length()) + uint64(len(s.linked)) + 1
	for _, c := range s.changes {
		if _, ok := s.linkedLength(c.key); !ok {
			n++
		}
	}
	return n
}
