package hyperbee_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

func TestBatchReadsItsOwnWrites(t *testing.T) {
	ctx, tree := t.Context(), newTree(t, nil)
	for i := range 30 {
		put(t, tree, fmt.Sprintf("k%02d", i), "old")
	}
	b := tree.Batch()
	defer b.Close()
	if e, ok, err := b.Get(ctx, []byte("k05")); err != nil || !ok || string(e.Value) != "old" || b.Len() != 0 {
		t.Errorf("before any write: %q, %v, %v, %d blocks", e.Value, ok, err, b.Len())
	}
	check(t, b.Put(ctx, []byte("k05"), []byte("new"), nil))
	check(t, b.Put(ctx, []byte("a"), []byte("first"), nil))
	check(t, b.Del(ctx, []byte("k06"), nil))
	if b.Len() != 3 {
		t.Errorf("%d blocks", b.Len())
	}
	for key, want := range map[string]string{"k05": "new", "a": "first", "k07": "old", "k06": "", "none": ""} {
		e, ok, err := b.Get(ctx, []byte(key))
		if err != nil || ok != (want != "") || string(e.Value) != want {
			t.Errorf("%s: %q, %v, %v", key, e.Value, ok, err)
		}
	}
	if e, ok, err := b.Peek(ctx, hyperbee.Range{}); err != nil || !ok || string(e.Key) != "a" {
		t.Errorf("first %q, %v, %v", e.Key, ok, err)
	}
	if _, ok, err := b.Peek(ctx, hyperbee.Range{GT: []byte("z")}); err != nil || ok {
		t.Errorf("behind the last: %v, %v", ok, err)
	}
	if _, ok, err := tree.Get(ctx, []byte("a")); err != nil || ok {
		t.Errorf("the tree has it before the flush: %v, %v", ok, err)
	}
	check(t, b.Flush(ctx))
	if e, ok, err := tree.Get(ctx, []byte("k05")); err != nil || !ok || string(e.Value) != "new" {
		t.Errorf("after the flush: %q, %v, %v", e.Value, ok, err)
	}
}

func TestClearUnlinkedKeepsTheCurrentVersion(t *testing.T) {
	ctx, tree := t.Context(), newTree(t, nil)
	for round := range 5 {
		for i := range 20 {
			put(t, tree, fmt.Sprintf("k%02d", i), fmt.Sprint("round ", round))
		}
	}
	check(t, tree.Del(ctx, []byte("k03"), nil))
	n, err := tree.ClearUnlinked(ctx, 0, 0)
	if err != nil || n < 60 {
		t.Errorf("%d blocks, %v", n, err)
	}
	all := entries(t, tree, hyperbee.Range{})
	if len(all) != 19 {
		t.Errorf("%d entries", len(all))
	}
	for _, e := range all {
		if string(e.Value) != "round 4" {
			t.Errorf("%s: %q", e.Key, e.Value)
		}
		if by, err := tree.GetBySeq(ctx, e.Seq); err != nil || string(by.Key) != string(e.Key) {
			t.Errorf("block %d: %q, %v", e.Seq, by.Key, err)
		}
	}
	for _, seq := range []uint64{0, tree.Version(), 1 << 40} {
		if _, err := tree.GetBySeq(ctx, seq); !errors.Is(err, hyperbee.ErrNotFound) {
			t.Errorf("block %d: %v", seq, err)
		}
	}
	old, err := tree.Checkout(10)
	check(t, err)
	defer old.Close()
	if _, err := old.ClearUnlinked(ctx, 0, 0); !errors.Is(err, hyperbee.ErrReadOnly) {
		t.Errorf("of an old version: %v", err)
	}
}
