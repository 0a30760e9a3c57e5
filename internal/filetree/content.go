package filetree

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// maxAlternatives bounds the references that are kept for one content.
const maxAlternatives = 8

// contentRecord is what the state holds of a content.
type contentRecord struct {
	// refs is how many records, in the tree or not, have it.
	refs uint64
	// released is the position of the operation that dropped the last of them.
	released uint64
	// contents are the references that authors gave, the first first.
	contents [][]byte
}

func (c *contentRecord) append(b []byte) []byte {
	b = compact.AppendUint(b, c.refs)
	if c.refs == 0 {
		b = compact.AppendUint(b, c.released)
	}
	b = compact.AppendUint(b, uint64(len(c.contents)))
	for _, x := range c.contents {
		b = compact.AppendBuffer(b, x)
	}
	return b
}

func readContentRecord(r *compact.Reader) (c contentRecord) {
	c.refs = r.Uint()
	if c.refs == 0 {
		c.released = r.Uint()
	}
	for range r.Count(1) {
		c.contents = append(c.contents, slices.Clone(r.Buffer()))
	}
	return c
}

// ref notes that one more record has a content.
func (t *tx) ref(ctx context.Context, it *Item) error {
	if it.Kind != File {
		return nil
	}
	c, ok, err := t.content(ctx, it.Hash)
	if err != nil {
		return err
	}
	if ok && c.refs == 0 {
		t.n.garbage--
		if err := t.s.Del(ctx, garbageKey(c.released, it.Hash)); err != nil {
			return err
		}
	}
	c.refs++
	known := len(it.Content) == 0 || len(c.contents) == maxAlternatives ||
		slices.ContainsFunc(c.contents, func(x []byte) bool { return string(x) == string(it.Content) })
	if !known {
		c.contents = append(c.contents, it.Content)
	}
	return t.s.Put(ctx, hashKey(it.Hash), c.append(nil))
}

// unref notes that one record less has a content.
func (t *tx) unref(ctx context.Context, it *Item) error {
	if it.Kind != File {
		return nil
	}
	c, ok, err := t.content(ctx, it.Hash)
	if err != nil {
		return err
	}
	if !ok || c.refs == 0 {
		return fmt.Errorf("%w: content %x has no references", errState, it.Hash)
	}
	if c.refs--; c.refs == 0 {
		c.released = t.n.ops
		t.n.garbage++
		if err := t.s.Put(ctx, garbageKey(c.released, it.Hash), nil0); err != nil {
			return err
		}
	}
	return t.s.Put(ctx, hashKey(it.Hash), c.append(nil))
}

// Released is a content that nothing refers to any more.
type Released struct {
	// Seq is the position of the operation that dropped the last reference.
	Seq  uint64
	Hash hypercrypto.Hash
	// Contents are where it is. Other contents may share parts of it.
	Contents [][]byte
}

// Garbage yields the contents that operations after a position released, in order.
func (v *View) Garbage(ctx context.Context, after uint64) iter.Seq2[Released, error] {
	return func(yield func(Released, error) bool) {
		for kv, err := range v.Entries(ctx, hyperbee.Range{GTE: numberKey(keyGarbage, after+1), LT: []byte{keyGarbage + 1}}) {
			var g Released
			if err == nil {
				g, err = v.released(ctx, kv.Key)
			}
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
}

func (v *View) released(ctx context.Context, key []byte) (g Released, err error) {
	if g.Seq, g.Hash, err = garbageOf(key); err != nil {
		return g, err
	}
	c, _, err := v.content(ctx, g.Hash)
	g.Contents = c.contents
	return g, err
}

// Live yields all contents that something in the tree, the history or the trash
// has, by hash, with all references to each.
func (v *View) Live(ctx context.Context) iter.Seq2[Released, error] {
	return func(yield func(Released, error) bool) {
		for kv, err := range v.Entries(ctx, all(keyContent)) {
			var c contentRecord
			if err == nil {
				c, err = decode(kv.Value, readContentRecord)
			}
			if err == nil && c.refs == 0 {
				continue
			}
			g := Released{Contents: c.contents}
			if err == nil && copy(g.Hash[:], kv.Key[1:]) < len(g.Hash) {
				err = fmt.Errorf("%w: key %x", errState, kv.Key)
			}
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
}
