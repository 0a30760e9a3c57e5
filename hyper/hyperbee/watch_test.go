package hyperbee_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func store(t testing.TB, tree *hyperbee.Tree, key, value string) {
	t.Helper()
	check(t, tree.Put(t.Context(), []byte(key), []byte(value), nil))
}

func TestWatchYieldsChangesOfItsRangeOnly(t *testing.T) {
	tree := newTree(t, nil)
	store(t, tree, "a1", "old")
	store(t, tree, "b1", "old")
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	steps := 0
	r := hyperbee.Range{GTE: []byte("a"), LT: []byte("b")}
	for u, err := range tree.Watch(ctx, r, &hyperbee.WatchOptions{Eager: true}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			break
		}
		var diff []string
		for d, err := range u.Current.Diff(ctx, u.Previous, r) {
			switch {
			case errors.Is(err, hypercore.ErrTruncated):
				diff = append(diff, "truncated")
			case err != nil:
				t.Fatal(err)
			case d.Left == nil:
				diff = append(diff, "-"+string(d.Right.Key))
			default:
				diff = append(diff, "+"+string(d.Left.Key)+"="+string(d.Left.Value))
			}
		}
		got := fmt.Sprint(diff)
		switch steps++; steps {
		case 1:
			if got != "[+a1=old]" {
				t.Errorf("what was there: %s", got)
			}
			store(t, tree, "b2", "outside") // no step
			b := tree.Batch()
			check(t, b.Put(ctx, []byte("a2"), []byte("new"), nil))
			check(t, b.Del(ctx, []byte("a1"), nil))
			check(t, b.Flush(ctx))
		case 2:
			if got != "[-a1 +a2=new]" {
				t.Errorf("after the batch: %s", got)
			}
			store(t, tree, "b3", "outside")
			check(t, tree.Truncate(ctx, 3)) // back to a1 and b1, on another fork
		case 3:
			if got != "[truncated]" {
				t.Errorf("after the truncation: %s", got)
			}
			e, found, err := u.Current.Get(ctx, []byte("a1"))
			if err != nil || !found || string(e.Value) != "old" {
				t.Errorf("after the truncation: %+v, %v", e, err)
			}
			cancel()
		default:
			t.Errorf("step %d: %s", steps, got)
		}
	}
	if steps != 3 {
		t.Errorf("%d steps", steps)
	}
}

func TestWatchKeyYieldsItsValues(t *testing.T) {
	tree := newTree(t, nil)
	store(t, tree, "other", "x")
	ctx := patient(t)
	var got []string
	for e, err := range tree.WatchKey(ctx, []byte("k")) {
		check(t, err)
		if e == nil {
			got = append(got, "none")
		} else {
			got = append(got, string(e.Value))
		}
		switch len(got) {
		case 1:
			store(t, tree, "k", "one")
		case 2:
			store(t, tree, "other", "y")
			store(t, tree, "k", "two")
		case 3:
			check(t, tree.Del(ctx, []byte("k"), nil))
		}
		if len(got) == 4 {
			break
		}
	}
	if s := fmt.Sprint(got); s != "[none one two none]" {
		t.Errorf("saw %s", s)
	}
}

func TestWatchEndsWithTheTree(t *testing.T) {
	tree := hyperbee.New(newCore(t), nil)
	store(t, tree, "k", "v")
	done := make(chan error, 1)
	go func() {
		var last error
		for _, err := range tree.WatchKey(context.Background(), []byte("k")) {
			if err == nil {
				check(t, tree.Close())
			}
			last = err
		}
		done <- last
	}()
	select {
	case err := <-done:
		if !errors.Is(err, hyperbee.ErrClosed) {
			t.Errorf("ended by %v", err)
		}
	case <-patient(t).Done():
		t.Fatal("goes on")
	}
	fixed, err := newTree(t, nil).Checkout(1)
	check(t, err)
	defer fixed.Close()
	for _, err := range fixed.Watch(t.Context(), hyperbee.Range{}, nil) {
		if !errors.Is(err, hyperbee.ErrReadOnly) {
			t.Errorf("watch of a version: %v", err)
		}
	}
}
