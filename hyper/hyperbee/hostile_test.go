package hyperbee_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

// packBlocks is the form in which blocks are one input of a fuzzer.
func packBlocks(blocks [][]byte) (packed []byte) {
	for _, b := range blocks {
		packed = append(binary.AppendUvarint(packed, uint64(len(b))), b...)
	}
	return packed
}

func unpackBlocks(packed []byte) (blocks [][]byte) {
	for len(packed) > 0 && len(blocks) < 64 {
		size, n := binary.Uvarint(packed)
		if n <= 0 {
			return blocks
		}
		packed = packed[n:]
		size = min(size, uint64(len(packed)))
		blocks, packed = append(blocks, packed[:size]), packed[size:]
	}
	return blocks
}

// level encodes a tree node of keys and pairs of child addresses.
func level(keys, kids []byte) []byte {
	var b []byte
	if keys != nil {
		b = append(append(b, 1<<3|2, byte(len(keys))), keys...)
	}
	if kids != nil {
		b = append(append(b, 2<<3|2, byte(len(kids))), kids...)
	}
	return append([]byte{1<<3 | 2, byte(len(b))}, b...)
}

// treeBlock encodes a block of a tree.
func treeBlock(key, value string, levels ...[]byte) []byte {
	index := bytes.Join(levels, nil)
	b := append([]byte{1<<3 | 2, byte(len(index))}, index...)
	b = append(append(b, 2<<3|2, byte(len(key))), key...)
	return append(append(b, 3<<3|2, byte(len(value))), value...)
}

var treeHeader = hyperbee.Header{Protocol: hyperbee.Protocol}.AppendTo(nil)

// hostileTrees are trees that no honest writer makes.
var hostileTrees = map[string][][]byte{
	"node that is its own child":  {treeHeader, treeBlock("a", "1", level([]byte{1}, []byte{1, 0, 1, 0}))},
	"levels that are a circle":    {treeHeader, treeBlock("a", "1", level([]byte{1}, []byte{1, 1, 1, 1}), level([]byte{1}, []byte{1, 0, 1, 0}))},
	"child that does not exist":   {treeHeader, treeBlock("a", "1", level([]byte{1}, []byte{1, 9, 1, 9}))},
	"key that comes later":        {treeHeader, treeBlock("a", "1", level([]byte{2}, nil)), treeBlock("b", "1", level([]byte{2}, nil))},
	"key in the header":           {treeHeader, treeBlock("a", "1", level([]byte{0}, nil))},
	"node without keys":           {treeHeader, treeBlock("a", "1", level(nil, []byte{1, 0}))},
	"too few children":            {treeHeader, treeBlock("a", "1", level([]byte{1, 1}, []byte{1, 0}))},
	"one key many times":          {treeHeader, treeBlock("a", "1", level([]byte{1, 1, 1, 1}, nil))},
	"keys in the wrong order":     {treeHeader, treeBlock("b", "1", level([]byte{1}, nil)), treeBlock("a", "1", level([]byte{1, 2}, nil))},
	"tree without an index":       {treeHeader, {2<<3 | 2, 1, 'a'}},
	"index that is cut":           {treeHeader, {1<<3 | 2, 9, 1}},
	"wider the deeper":            wideTree(),
	"no header":                   {treeBlock("a", "1", level([]byte{1}, nil)), treeBlock("a", "1", level([]byte{1}, nil))},
	"child of a shared leaf":      {treeHeader, treeBlock("a", "1", level([]byte{1}, nil)), treeBlock("b", "1", level([]byte{2}, []byte{1, 0, 1, 0}))},
	"not a tree":                  {[]byte("hello"), []byte("world")},
	"empty blocks":                {nil, nil, nil},
	"number of more than 64 bits": {treeHeader, treeBlock("a", "1", level([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, nil))},
}

// wideTree has 20 levels, each node with four times the one below: read
// without looking at the order of keys it would have 4^20 entries.
func wideTree() [][]byte {
	blocks := [][]byte{treeHeader, treeBlock("m", "", level([]byte{1}, nil))}
	for seq := byte(2); seq < 22; seq++ {
		below := seq - 1
		blocks = append(blocks, treeBlock("m", "", level([]byte{seq, seq, seq}, []byte{below, 0, below, 0, below, 0, below, 0})))
	}
	return blocks
}

// readHostile reads and changes a tree of foreign blocks in every way. All may
// fail; what is given has to be in order, and come to an end.
func readHostile(t *testing.T, tree *hyperbee.Tree) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	length := tree.Core().Length()
	for _, reverse := range []bool{false, true} {
		var last []byte
		n := uint64(0)
		for e, err := range tree.Entries(ctx, hyperbee.Range{Reverse: reverse}) {
			if err != nil {
				break
			}
			if c := bytes.Compare(e.Key, last); n > 0 && (c == 0 || c > 0 == reverse) {
				t.Fatalf("%q after %q", e.Key, last)
			}
			if n++; n > length {
				t.Fatalf("%d entries of %d blocks", n, length)
			}
			last = e.Key
			// A point read can go another way in a broken tree; it may not panic.
			_, _, _ = tree.Get(ctx, e.Key)
		}
	}
	n := uint64(0)
	for _, err := range tree.History(ctx, hyperbee.HistoryRange{}) {
		if n++; err != nil || n > length {
			break
		}
	}
	for _, k := range []string{"", "a", "b", "m", "k00001"} {
		_, _, _ = tree.Get(ctx, []byte(k))
	}
	if old, err := tree.Checkout(max(1, length/2)); err == nil {
		n = 0
		for _, err := range tree.Diff(ctx, old, hyperbee.Range{}) {
			if n++; err != nil {
				break
			}
			if n > 2*length {
				t.Fatalf("%d differences of %d blocks", n, length)
			}
		}
		check(t, old.Close())
	}
	b := tree.Batch()
	defer b.Close()
	for _, k := range []string{"a", "m", "z"} {
		if b.Del(ctx, []byte(k), nil) != nil || b.Put(ctx, []byte(k+"2"), []byte("v"), nil) != nil {
			return
		}
	}
	_ = b.Flush(ctx)
	if ctx.Err() != nil {
		t.Fatal("no end")
	}
}

func TestForeignTreesAreReadSafely(t *testing.T) {
	for name, blocks := range hostileTrees {
		t.Run(name, func(t *testing.T) {
			core := newCore(t)
			if _, err := core.Append(t.Context(), blocks...); err != nil {
				t.Fatal(err)
			}
			readHostile(t, treeOn(t, core, nil))
		})
	}
}

// FuzzForeignTree reads trees of arbitrary blocks.
func FuzzForeignTree(f *testing.F) {
	for _, blocks := range hostileTrees {
		f.Add(packBlocks(blocks))
	}
	honest := newTree(f, nil)
	for _, o := range opLog(5, 40, 20) {
		check(f, o.apply(f.Context(), honest))
	}
	var all [][]byte
	for i := range honest.Core().Length() {
		b, err := honest.Core().GetLocal(i)
		check(f, err)
		all = append(all, b)
	}
	f.Add(packBlocks(all))
	core := newCore(f)
	f.Fuzz(func(t *testing.T, packed []byte) {
		blocks := unpackBlocks(packed)
		if len(blocks) == 0 {
			return
		}
		if core.Length() > 0 {
			check(t, core.Truncate(t.Context(), 0, nil))
		}
		_, err := core.Append(t.Context(), blocks...)
		check(t, err)
		tree := hyperbee.New(core, nil)
		readHostile(t, tree)
		check(t, tree.Close())
		if h, err := hyperbee.DecodeHeader(blocks[0]); err == nil {
			again, err := hyperbee.DecodeHeader(h.AppendTo(nil))
			if err != nil || again.Protocol != h.Protocol || (again.Metadata == nil) != (h.Metadata == nil) {
				t.Fatalf("header %+v becomes %+v, %v", h, again, err)
			}
		}
	})
}
