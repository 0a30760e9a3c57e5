package filetree

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Check reads a whole state and reports what does not fit together. Of a state that
// Apply wrote that is nothing.
func Check(ctx context.Context, r Reader) error {
	c := &checker{state: state{Reader: r}, refs: map[hypercrypto.Hash]uint64{}, links: map[Version]uint64{},
		versions: map[Version]bool{}}
	for _, step := range []func(context.Context) error{c.tree, c.history, c.lists, c.contents, c.totalsAgree} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return errors.Join(c.problems...)
}

// maxProblems bounds what Check reports.
const maxProblems = 100

type checker struct {
	state
	n        totals
	copies   uint64 // entries that are conflict copies
	refs     map[hypercrypto.Hash]uint64
	links    map[Version]uint64
	versions map[Version]bool
	problems []error
}

func (c *checker) fail(format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Errorf("%w: "+format, append([]any{errState}, args...)...))
	}
}

func (c *checker) record(where string, e *record) {
	if c.versions[e.version] {
		c.fail("%s: version %x is there twice", where, e.version)
	}
	c.versions[e.version] = true
	if e.item.Kind == File {
		c.refs[e.item.Hash]++
	}
	for _, p := range e.parents {
		c.links[p]++
	}
}

// tree checks that every entry is in a directory.
func (c *checker) tree(ctx context.Context) error {
	dirs := map[string]bool{"": true}
	t := tx{}
	for kv, err := range c.Entries(ctx, all(keyEntry)) {
		if err != nil {
			return err
		}
		path := keyPath(kv.Key)
		e, err := decode(kv.Value, readRecord)
		if err != nil {
			return fmt.Errorf("entry %q: %w", path, err)
		}
		if err := CheckPath(path); err != nil {
			c.fail("%w", err)
		}
		if !dirs[parent(path)] {
			c.fail("%q is in no directory", path)
		}
		dirs[path] = e.item.Kind == Dir
		t.count(&e, 1)
		c.record(path, &e)
		if err := c.place(ctx, path, &e); err != nil {
			return err
		}
	}
	c.n.files, c.n.dirs, c.n.link, c.n.bytes = t.n.files, t.n.dirs, t.n.link, t.n.bytes
	return nil
}

// place checks what says where an entry is.
func (c *checker) place(ctx context.Context, path string, e *record) error {
	_, listed, err := c.Get(ctx, pathKey(nil, keyConflict, path))
	if err != nil {
		return err
	}
	if listed != e.conflict {
		c.fail("%q: conflict copy: %v, in the list: %v", path, e.conflict, listed)
	}
	if e.conflict {
		c.copies++
	}
	to, ok, err := c.forward(ctx, e.version)
	if err != nil || ok != e.forwarded() || ok && to != path {
		c.fail("%q: forwarded: %v, to %q: %v, %v", path, e.forwarded(), to, ok, err)
	}
	p, err := c.locate(ctx, e.version, path)
	if err == nil && (p.how != here || p.path != path) {
		c.fail("%q is not found by its version", path)
	}
	return err
}

func (c *checker) history(ctx context.Context) error {
	for kv, err := range c.Entries(ctx, all(keyHistory)) {
		if err != nil {
			return err
		}
		f, err := decode(kv.Value, readFormer)
		if err != nil {
			return fmt.Errorf("key %x: %w", kv.Key, err)
		}
		if string(kv.Key[1:]) != string(f.version[:]) {
			c.fail("version %x has the key %x", f.version, kv.Key)
		}
		c.record(fmt.Sprintf("history of %q", f.path), &f.record)
		if !f.deleted() {
			c.n.history++
			continue
		}
		c.n.trash++
		if _, ok, err := c.Get(ctx, trashKey(f.gone.at, f.version)); !ok || err != nil {
			c.fail("%q is not in the list of the trash: %v", f.path, err)
		}
	}
	for kv, err := range c.Entries(ctx, all(keyHistory)) {
		if err != nil {
			return err
		}
		f, err := decode(kv.Value, readFormer)
		if err != nil {
			return err
		}
		if f.links != c.links[f.version] {
			c.fail("%q, version %x: %d links, counted %d", f.path, f.version, f.links, c.links[f.version])
		}
	}
	return nil
}

func (c *checker) length(ctx context.Context, r hyperbee.Range) (n uint64, err error) {
	for _, err := range c.Entries(ctx, r) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// lists checks that nothing is in a list that is not elsewhere.
func (c *checker) lists(ctx context.Context) error {
	trash, err := c.length(ctx, all(keyTrash))
	if err != nil {
		return err
	}
	if trash != c.n.trash {
		c.fail("%d in the list of the trash, %d deleted", trash, c.n.trash)
	}
	if c.n.conflicts, err = c.length(ctx, all(keyConflict)); err != nil {
		return err
	}
	if c.copies != c.n.conflicts {
		c.fail("%d in the list of conflicts, %d copies", c.n.conflicts, c.copies)
	}
	for kv, err := range c.Entries(ctx, all(keyForward)) {
		if err != nil {
			return err
		}
		var v Version
		copy(v[:], kv.Key[1:])
		p, err := c.locate(ctx, v, string(kv.Value))
		if err != nil {
			return err
		}
		if p.how != here {
			c.fail("version %x is not at %q", v, kv.Value)
		}
	}
	if c.n.dirMoves, err = c.length(ctx, all(keyDirMove)); err != nil {
		return err
	}
	if c.n.snapshots, err = c.length(ctx, all(keySnapshot)); err != nil {
		return err
	}
	if c.n.devices, err = c.length(ctx, all(keyDevice)); err != nil {
		return err
	}
	c.n.ops, err = c.length(ctx, all(keyOp))
	return err
}

// contents checks that references are counted right.
func (c *checker) contents(ctx context.Context) error {
	for kv, err := range c.Entries(ctx, all(keyContent)) {
		if err != nil {
			return err
		}
		rec, err := decode(kv.Value, readContentRecord)
		if err != nil {
			return err
		}
		var h hypercrypto.Hash
		copy(h[:], kv.Key[1:])
		if rec.refs != c.refs[h] {
			c.fail("content %x: %d references, counted %d", h, rec.refs, c.refs[h])
		}
		delete(c.refs, h)
		if rec.refs > 0 {
			continue
		}
		c.n.garbage++
		if _, ok, err := c.Get(ctx, garbageKey(rec.released, h)); !ok || err != nil {
			c.fail("content %x is not in the list of garbage: %v", h, err)
		}
	}
	for h := range c.refs {
		c.fail("content %x is unknown", h)
	}
	garbage, err := c.length(ctx, all(keyGarbage))
	if garbage != c.n.garbage {
		c.fail("%d in the list of garbage, %d released", garbage, c.n.garbage)
	}
	return err
}

func (c *checker) totalsAgree(ctx context.Context) error {
	n, _, err := get(ctx, c, []byte{keyTotals}, readTotals)
	if err != nil {
		return err
	}
	n.maxTime, n.pruned = 0, 0
	if n != c.n {
		c.fail("totals are %+v, counted %+v", n, c.n)
	}
	return nil
}
