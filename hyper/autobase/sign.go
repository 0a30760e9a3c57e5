package autobase

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// signs is what a writer's newest node says about the signed state, with
// pointers followed.
type signs struct {
	length             uint64 // of the log with that node
	digest             hypercrypto.Key
	digestAt           uint64          // 0: the writer names no system core
	core               hypercrypto.Key // system core that the marks are of
	system, encryption *mark
	user               []*mark
}

// mark is an indexer's signature over a core.
type mark struct {
	at        uint64 // length of the log with the block that has it
	length    uint64 // of the core
	signature [64]byte
	good      bool // it was checked, under the present keys
}

// readSigns brings what is known of an indexer's signatures up to its newest
// node. It reports false while a block that is pointed to is not held.
func (e *engine) readSigns(w *writer) bool {
	if w.signs.length >= w.given || w.given == 0 {
		return w.signs.length > 0
	}
	length := w.given
	b, err := e.block(w, length-1)
	if err != nil {
		return false
	}
	s := signs{length: length}
	if d := b.Digest; d != nil {
		switch {
		case d.Pointer == 0:
			s.digest, s.digestAt = d.Key, length
		case w.signs.digestAt != 0 && w.signs.digestAt == length-min(d.Pointer, length):
			s.digest, s.digestAt = w.signs.digest, w.signs.digestAt
		default:
			o, at := e.pointed(w, length, d.Pointer)
			if o == nil || o.Digest == nil || o.Digest.Pointer != 0 {
				return false
			}
			s.digest, s.digestAt = o.Digest.Key, at
		}
	}
	if c := b.Checkpoint; c != nil {
		ok := true
		follow := func(g *oplog.Signed, known *mark, of func(*oplog.Checkpoint) *oplog.Signed) *mark {
			if g == nil {
				return nil
			}
			at := length
			if g.Pointer != 0 {
				if known != nil && known.at == length-min(g.Pointer, length) {
					return known
				}
				var o *oplog.Block
				if o, at = e.pointed(w, length, g.Pointer); o == nil || o.Checkpoint == nil {
					ok = false
					return nil
				}
				if g = of(o.Checkpoint); g == nil || g.Pointer != 0 {
					ok = false
					return nil
				}
			}
			return &mark{at: at, length: g.Length, signature: g.Signature}
		}
		s.system = follow(c.System, w.signs.system, func(c *oplog.Checkpoint) *oplog.Signed { return c.System })
		s.encryption = follow(c.Encryption, w.signs.encryption, func(c *oplog.Checkpoint) *oplog.Signed { return c.Encryption })
		for i := range c.User {
			var known *mark
			if i < len(w.signs.user) {
				known = w.signs.user[i]
			}
			s.user = append(s.user, follow(&c.User[i], known, func(c *oplog.Checkpoint) *oplog.Signed {
				if i >= len(c.User) {
					return nil
				}
				return &c.User[i]
			}))
		}
		if !ok {
			return false
		}
	}
	s.core = s.digest
	w.signs = s
	return true
}

// pointed returns the block that stands p blocks before length, nil if it is not
// held. Then it is asked for.
func (e *engine) pointed(w *writer, length, p uint64) (*oplog.Block, uint64) {
	if p >= length {
		return nil, 0
	}
	b, err := e.block(w, length-p-1)
	if errors.Is(err, hypercore.ErrNotAvailable) {
		w.ask(length - p - 1)
	}
	if err != nil {
		return nil, 0
	}
	return b, length - p
}

// sign signs the confirmed state with the local key, if there is more than was
// signed before. The signatures are going to stand in the block that makes the
// log length blocks long.
func (e *engine) sign(ctx context.Context, length uint64) error {
	s, kp := &e.local.signs, e.local.core.KeyPair()
	p := e.indexed
	same := s.core == e.system.Key()
	if s.system != nil && p.length <= s.system.length && same || p.length == 0 {
		return nil
	}
	known := s.user
	if !same && p.info.Version >= 2 {
		known = nil // a view may be shorter after a fork
	}
	make := func(k hypercrypto.Key, t hypercrypto.TreeState) *mark {
		t.Fork = 0
		msg := t.Signable(k)
		return &mark{at: length, length: t.Length, signature: kp.Sign(msg[:]), good: true}
	}
	t, err := e.sys.draft.TreeAt(p.length)
	if err != nil {
		return fmt.Errorf("sign the system view: %w", err)
	}
	system := make(e.system.Key(), t)
	var user []*mark
	for i, r := range p.info.Views {
		if i < len(known) && known[i].length >= r.Length {
			user = append(user, known[i])
			continue
		}
		v := e.mapped(i)
		if v == nil {
			return fmt.Errorf("autobase: the application does not open view %d of the base", i)
		}
		t, err := v.draft.TreeAt(r.Length)
		if err != nil {
			return fmt.Errorf("sign view %q: %w", v.name, err)
		}
		user = append(user, make(v.under.Key(), t))
	}
	switch {
	case e.keys.core != nil:
		if s.encryption == nil || !same {
			t, err := e.keys.core.TreeAt(e.keys.core.Length())
			if err != nil {
				return fmt.Errorf("sign the encryption keys: %w", err)
			}
			s.encryption = make(e.keys.core.Key(), t)
		}
	case s.encryption == nil:
		sg, err := e.signers(ctx, p.info.Indexers)
		if err != nil {
			return err
		}
		var none hypercrypto.TreeHasher
		k := e.lineage.manifest(encryptionName, sg, hypercrypto.TreeState{}, nil, nil).Key()
		s.encryption = make(k, hypercrypto.TreeState{Hash: none.Sum()})
	}
	s.system, s.user, s.core = system, user, e.system.Key()
	return nil
}

// mapped returns the view that is number i in the state of the base.
func (e *engine) mapped(i int) *view {
	for _, v := range e.views {
		if v.mapped == i {
			return v
		}
	}
	return nil
}

// checkpoint returns what the block that makes the local log length blocks long
// says of signatures.
func (s *signs) checkpoint(length uint64) *oplog.Checkpoint {
	entry := func(m *mark) oplog.Signed {
		if m.at == length {
			return oplog.Signed{Signature: m.signature, Length: m.length}
		}
		return oplog.Signed{Pointer: length - m.at}
	}
	c := &oplog.Checkpoint{}
	if s.system != nil {
		g := entry(s.system)
		c.System = &g
	}
	if s.encryption != nil {
		g := entry(s.encryption)
		c.Encryption = &g
	}
	for _, m := range s.user {
		c.User = append(c.User, entry(m))
	}
	return c
}

// name returns the digest of that block.
func (s *signs) name(length uint64, system hypercrypto.Key) *oplog.Digest {
	if s.digestAt != 0 && s.digest == system {
		return &oplog.Digest{Pointer: length - s.digestAt}
	}
	s.digest, s.digestAt = system, length
	return &oplog.Digest{Key: system}
}

// vote is one indexer's part of a quorum.
type vote struct {
	signer int
	w      *writer
}

// collect looks whether enough indexers signed more than is signed so far, and
// makes it durable.
func (e *engine) collect(ctx context.Context) error {
	indexers := e.indexed.info.Indexers
	if len(indexers) == 0 {
		return nil
	}
	quorum := len(indexers)/2 + 1
	var votes []vote
	for i, r := range indexers {
		w := e.byKey[r.Key]
		if w == nil || !e.readSigns(w) || w.signs.digest != e.system.Key() {
			continue
		}
		m := w.signs.system
		if m == nil || m.length <= e.signed || m.length > e.indexed.length {
			continue
		}
		ok, err := e.check(m, e.sys.draft, e.system, i)
		if err != nil {
			return err
		}
		if !ok {
			e.emit(Event{Type: EventWarning, Key: r.Key, Err: fmt.Errorf("%w: signature over the system view at %d does not fit", ErrLog, m.length)})
			continue
		}
		votes = append(votes, vote{i, w})
	}
	if len(votes) < quorum {
		return nil
	}
	slices.SortStableFunc(votes, func(a, b vote) int { return int(b.w.signs.system.length) - int(a.w.signs.system.length) })
	votes = votes[:quorum]
	return e.commit(ctx, votes[quorum-1].w.signs.system.length, votes)
}

// check tells whether a signature of signer number i is one over a draft.
func (e *engine) check(m *mark, draft, core *hypercore.Core, i int) (bool, error) {
	if m.good {
		return true, nil
	}
	manifest := core.Manifest()
	if manifest == nil || i >= len(manifest.Signers) || m.length > draft.Length() {
		return false, nil
	}
	t, err := draft.TreeAt(m.length)
	if err != nil {
		return false, err
	}
	t.Fork = 0
	msg := t.Signable(core.Key())
	m.good = hypercrypto.Verify(manifest.Signers[i].PublicKey, msg[:], m.signature[:])
	return m.good, nil
}

// commit makes the state at a length of the system view durable.
func (e *engine) commit(ctx context.Context, length uint64, votes []vote) error {
	info := &e.indexed.info
	if length != e.indexed.length {
		var err error
		if info, err = e.sys.infoAt(ctx, length); short(err) {
			return nil
		} else if err != nil {
			e.emit(Event{Type: EventWarning, Err: fmt.Errorf("indexers signed no state of the base: %w", err)})
			return nil
		}
	}
	if err := e.bootable(ctx, length); short(err) {
		return nil // the start goes on to begin where it did
	} else if err != nil {
		return err
	}
	c, err := e.assemble(e.sys.draft, length, votes, func(w *writer) *mark { return w.signs.system })
	if err != nil || c == nil {
		return err
	}
	var commits []hypercore.DraftCommit
	for i, r := range info.Views {
		v := e.mapped(i)
		if v == nil || r.Length <= v.under.Length() && v.under.Has(0, r.Length) {
			continue
		}
		c, err := e.assemble(v.draft, r.Length, votes, func(w *writer) *mark {
			if i >= len(w.signs.user) {
				return nil
			}
			m := w.signs.user[i]
			if ok, err := e.check(m, v.draft, v.under, slices.IndexFunc(e.indexed.info.Indexers, func(r oplog.Ref) bool { return r.Key == w.key })); err != nil || !ok {
				return nil
			}
			return m
		})
		if err != nil || c == nil {
			return err
		}
		commits = append(commits, *c)
	}
	commits = append(commits, *c)
	rec := &bootRecord{system: oplog.Ref{Key: e.system.Key(), Length: length}, passed: e.passedBelow(length)}
	boot := hypercore.UserRecord{Core: e.local.core, Key: bootKey, Value: rec.appendTo(nil)}
	if err := hypercore.CommitDrafts(ctx, commits, boot); err != nil {
		if errors.Is(err, hypercore.ErrBranchMoved) || errors.Is(err, hypercore.ErrConflict) {
			return fmt.Errorf("autobase: the indexers signed another state than the nodes give: %w", err)
		}
		if errors.Is(err, hypercore.ErrDraftBehind) {
			return nil // until the nodes are here that others made more of
		}
		if transient(err) {
			e.emit(Event{Type: EventWarning, Err: err})
			e.later()
			return nil
		}
		return err
	}
	e.signed = length
	return nil
}

// assemble makes the signature of a core from the parts of a quorum, which were
// checked. It returns nil if a part is missing.
func (e *engine) assemble(draft *hypercore.Core, length uint64, votes []vote, of func(*writer) *mark) (*hypercore.DraftCommit, error) {
	var parts []hypercrypto.PartialSignature
	for _, v := range votes {
		m := of(v.w)
		if m == nil || m.length < length || m.length > draft.Length() {
			return nil, nil
		}
		p := hypercrypto.PartialSignature{Signer: uint64(v.signer), Signature: m.signature, Patch: m.length - length}
		if p.Patch > 0 {
			var err error
			if p.Nodes, err = draft.Growth(length, m.length); err != nil {
				return nil, err
			}
		}
		parts = append(parts, p)
	}
	return &hypercore.DraftCommit{Draft: draft, Length: length, Signature: hypercrypto.Assemble(parts), Checked: true}, nil
}
