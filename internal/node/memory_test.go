package node

import (
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestNodeRestsWhenItAllocatesLittleAfterMuch(t *testing.T) {
	var r rest
	for i, step := range []struct {
		more uint64
		due  bool
	}{
		{restWorth, false},     // at work
		{restBytes, true},      // at rest: due until done
		{0, true},              //
		{2 * restBytes, false}, // at work again
		{0, true},
	} {
		if due := r.due(r.last + step.more); due != step.due {
			t.Errorf("step %d: due is %v", i, due)
		}
	}
	r.given = r.last
	for allocated := r.last; allocated < r.given+restWorth; allocated += restBytes {
		if r.due(allocated) {
			t.Fatalf("due %d bytes after memory was given back", allocated-r.given)
		}
	}
	if !r.due(r.last + restBytes) {
		t.Error("what is allocated bit by bit is never given back")
	}
}

func TestMemoryGivenBackDoesNotShow(t *testing.T) {
	n := open(t, t.TempDir())
	for range 3 {
		n.trim()
		if err := n.Healthy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTooLittleMemoryIsRefused(t *testing.T) {
	for _, memory := range []int64{-1, 1, MinMemory - 1} {
		if _, err := Open(t.Context(), Options{Home: t.TempDir(), Memory: memory}); fault.KindOf(err) != fault.Usage {
			t.Errorf("%d: %v", memory, err)
		}
	}
	n, err := Open(t.Context(), Options{Home: t.TempDir(), Memory: MinMemory})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
