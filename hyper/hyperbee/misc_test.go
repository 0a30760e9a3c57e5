package hyperbee_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

type casCall struct {
	Cas struct {
		Prev, Next struct {
			Seq        uint64
			Key, Value *string
		}
	}
	Result bool
}

type miscVector struct {
	coreVector
	Log   []casCall
	Plain []string
}

func miscVectors(t *testing.T) map[string]miscVector {
	var v struct{ Cases []miscVector }
	vectors(t, "struct-bee-misc.json", &v)
	out := make(map[string]miscVector)
	for _, c := range v.Cases {
		out[c.Name] = c
	}
	return out
}

// vectorTree returns a tree in a core with the key of the vector.
func vectorTree(t *testing.T, v miscVector, opts *hyperbee.Options) (miscVector, *hyperbee.Tree) {
	t.Helper()
	return v, treeOn(t, namedCore(t, v.Name, nil), opts)
}

// casRecorder checks the calls of compare functions against the vector.
type casRecorder struct {
	t    *testing.T
	want []casCall
}

func (r *casRecorder) cas(fn func(prev, next hyperbee.Entry) bool) func(prev, next hyperbee.Entry) bool {
	return func(prev, next hyperbee.Entry) bool {
		r.t.Helper()
		ok := fn(prev, next)
		if len(r.want) == 0 {
			r.t.Fatal("unexpected call of the compare function")
		}
		w := r.want[0]
		r.want = r.want[1:]
		text := func(e hyperbee.Entry) string {
			if e.Value == nil {
				return fmt.Sprintf("%d %s null", e.Seq, e.Key)
			}
			return fmt.Sprintf("%d %s %s", e.Seq, e.Key, e.Value)
		}
		wantText := func(seq uint64, key, value *string) string {
			if value == nil {
				return fmt.Sprintf("%d %s null", seq, *key)
			}
			return fmt.Sprintf("%d %s %s", seq, *key, *value)
		}
		if got, want := text(prev), wantText(w.Cas.Prev.Seq, w.Cas.Prev.Key, w.Cas.Prev.Value); got != want {
			r.t.Errorf("previous %s, want %s", got, want)
		}
		if got, want := text(next), wantText(w.Cas.Next.Seq, w.Cas.Next.Key, w.Cas.Next.Value); got != want {
			r.t.Errorf("next %s, want %s", got, want)
		}
		if ok != w.Result {
			r.t.Errorf("result %v, want %v", ok, w.Result)
		}
		return ok
	}
}

func TestCompareAndSwapVectors(t *testing.T) {
	v := miscVectors(t)
	ctx := t.Context()
	t.Run("put", func(t *testing.T) {
		c, tree := vectorTree(t, v["cas-put"], nil)
		r := &casRecorder{t, c.Log}
		differs := &hyperbee.PutOptions{CAS: r.cas(func(p, n hyperbee.Entry) bool { return !bytes.Equal(p.Value, n.Value) })}
		for _, value := range []string{"123", "123", "456"} {
			check(t, tree.Put(ctx, []byte("n"), []byte(value), differs))
		}
		c.check(t, tree.Core())
		if len(r.want) != 0 {
			t.Errorf("%d calls are missing", len(r.want))
		}
	})
	t.Run("del", func(t *testing.T) {
		c, tree := vectorTree(t, v["cas-del"], nil)
		r := &casRecorder{t, c.Log}
		may := &hyperbee.DelOptions{CAS: r.cas(func(p, _ hyperbee.Entry) bool { return string(p.Value) == "can-be-deleted" })}
		put(t, tree, "n", "value")
		check(t, tree.Del(ctx, []byte("n"), may))
		put(t, tree, "n", "can-be-deleted")
		check(t, tree.Del(ctx, []byte("n"), may))
		check(t, tree.Del(ctx, []byte("n"), may))
		c.check(t, tree.Core())
		if len(r.want) != 0 {
			t.Errorf("%d calls are missing", len(r.want))
		}
	})
	t.Run("stale marks in a batch", func(t *testing.T) {
		c, tree := vectorTree(t, v["cas-batch-stale-changed"], nil)
		for i := range 30 {
			put(t, tree, fmt.Sprintf("k%05d", i), fmt.Sprintf("v%d", i))
		}
		never := &hyperbee.PutOptions{CAS: func(_, _ hyperbee.Entry) bool { return false }}
		b := tree.Batch()
		check(t, b.Put(ctx, []byte("k00000"), []byte("a"), nil))
		check(t, b.Put(ctx, []byte("k00004"), []byte("no"), never))
		check(t, b.Put(ctx, []byte("k00019"), []byte("no"), never))
		check(t, b.Put(ctx, []byte("k00029"), []byte("b"), nil))
		check(t, b.Flush(ctx))
		c.check(t, tree.Core())
	})
}

func TestOddValueVectors(t *testing.T) {
	v := miscVectors(t)
	ctx := t.Context()
	t.Run("no-dup", func(t *testing.T) {
		c, tree := vectorTree(t, v["no-dup"], &hyperbee.Options{SkipUnchanged: true})
		for _, value := range []string{"1", "1", "2"} {
			put(t, tree, "a", value)
		}
		check(t, tree.Put(ctx, []byte("b"), nil, nil))
		check(t, tree.Put(ctx, []byte("b"), nil, nil))
		c.check(t, tree.Core())
	})
	t.Run("odd-values", func(t *testing.T) {
		c, tree := vectorTree(t, v["odd-values"], nil)
		put(t, tree, "", "empty key")
		check(t, tree.Put(ctx, []byte("empty value"), []byte{}, nil))
		check(t, tree.Put(ctx, []byte("null value"), nil, nil))
		e, ok, err := tree.Get(ctx, []byte("null value"))
		if err != nil || !ok || e.Value != nil {
			t.Errorf("null value reads as %v %v %v", e, ok, err)
		}
		e, ok, err = tree.Get(ctx, []byte("empty value"))
		if err != nil || !ok || e.Value == nil || len(e.Value) != 0 {
			t.Errorf("empty value reads as %v %v %v", e, ok, err)
		}
		for _, key := range []string{"nothing", "null value", "", "empty value"} {
			check(t, tree.Del(ctx, []byte(key), nil))
		}
		check(t, tree.Put(ctx, []byte{0, 255}, []byte{1}, nil))
		c.check(t, tree.Core())
	})
	t.Run("del-first", func(t *testing.T) {
		c, tree := vectorTree(t, v["del-first"], nil)
		check(t, tree.Del(ctx, []byte("x"), nil))
		c.check(t, tree.Core())
	})
	t.Run("subs", func(t *testing.T) {
		c, tree := vectorTree(t, v["subs"], nil)
		one := tree.Sub("one", nil)
		put(t, one, "a", `{"x":1}`)
		put(t, one.Sub("two", nil), "b", "[1,null,\"é\u2028<\"]")
		put(t, tree.Sub("u", &hyperbee.SubOptions{Sep: []byte("/")}), "c", "raw")
		put(t, tree, "top", "true")
		c.check(t, tree.Core())
	})
	t.Run("truncate", func(t *testing.T) {
		c, tree := vectorTree(t, v["truncate-and-varint"], nil)
		for i := range 300 {
			put(t, tree, fmt.Sprintf("k%d", i%3), fmt.Sprintf("v%d", i))
		}
		check(t, tree.Truncate(ctx, 290))
		put(t, tree, "after", "truncate")
		tail := c.Blocks
		c.Blocks = nil
		c.ByteLength -= c.Length * uint64(tree.Core().Padding()) // the vector counts it
		c.check(t, tree.Core())
		got := blocks(t, tree.Core())
		if a, b := strings.Join(got[len(got)-3:], " "), strings.Join(tail, " "); a != b {
			t.Errorf("last blocks\n got %s\nwant %s", a, b)
		}
	})
	t.Run("encrypted", func(t *testing.T) {
		c := v["encrypted"]
		key := hypercrypto.EncryptionKey(bytes.Repeat([]byte{0x42}, 32))
		tree := treeOn(t, namedCore(t, c.Name, &key), nil)
		put(t, tree, "secret", "value")
		put(t, tree, "secret2", "value2")
		if got := blocks(t, tree.Core()); strings.Join(got, " ") != strings.Join(c.Plain, " ") {
			t.Errorf("blocks %v, want %v", got, c.Plain)
		}
		for i, want := range c.Blocks {
			b, err := tree.Core().GetRaw(ctx, uint64(i))
			if err != nil || hex.EncodeToString(b) != want {
				t.Errorf("stored block %d is %x %v, want %s", i, b, err, want)
			}
		}
		c.Blocks = nil
		c.ByteLength -= c.Length * uint64(tree.Core().Padding()) // the vector counts it
		c.check(t, tree.Core())
	})
}

func TestHeaderVectors(t *testing.T) {
	v := miscVectors(t)
	ctx := t.Context()
	feed := bytes.Repeat([]byte{4}, 32)
	for name, m := range map[string]*hyperbee.Metadata{
		"header-metadata":       {ContentFeed: feed, UserData: []byte("ud")},
		"header-empty-metadata": {},
	} {
		c, tree := vectorTree(t, v[name], &hyperbee.Options{Metadata: m})
		put(t, tree, "a", "b")
		c.check(t, tree.Core())
		h, err := tree.Header(ctx)
		check(t, err)
		if h.Protocol != "hyperbee" || h.Metadata == nil || !bytes.Equal(h.Metadata.ContentFeed, m.ContentFeed) || !bytes.Equal(h.Metadata.UserData, m.UserData) {
			t.Errorf("%s: header %v", name, h)
		}
	}
	tree := newTree(t, nil)
	put(t, tree, "a", "b")
	h, err := tree.Header(ctx)
	if err != nil || h.Metadata != nil {
		t.Errorf("header %v %v", h, err)
	}
	if ok, err := hyperbee.IsHyperbee(ctx, tree.Core()); !ok || err != nil {
		t.Errorf("not recognised: %v", err)
	}
	other := newCore(t)
	appendHex(t, other, []string{"68656c6c6f"})
	if ok, err := hyperbee.IsHyperbee(ctx, other); ok || err != nil {
		t.Errorf("another log taken for a bee: %v", err)
	}
}

func TestHyperbee2BlocksAreRefused(t *testing.T) {
	var v struct {
		Cases []struct {
			Name   string
			Blocks []string
		}
	}
	vectors(t, "struct-bee2.json", &v)
	want := make(map[string]string)
	for _, o := range opLog(12345, 10, 8) {
		want[o.key] = o.value
	}
	for _, c := range v.Cases {
		core := newCore(t)
		appendHex(t, core, c.Blocks)
		tree := hyperbee.New(core, nil)
		if strings.HasPrefix(c.Name, "compat") {
			got := entries(t, tree, hyperbee.Range{})
			if len(got) != len(want) {
				t.Errorf("%d entries, want %d", len(got), len(want))
			}
			for _, e := range got {
				if want[string(e.Key)] != string(e.Value) {
					t.Errorf("%s is %s, want %s", e.Key, e.Value, want[string(e.Key)])
				}
			}
		} else {
			_, _, err := tree.Get(t.Context(), []byte("k00000"))
			if !errors.Is(err, hyperbee.ErrUnsupported) {
				t.Errorf("get: %v", err)
			}
			if err := tree.Put(t.Context(), []byte("k"), nil, nil); !errors.Is(err, hyperbee.ErrUnsupported) {
				t.Errorf("put: %v", err)
			}
			if _, err := tree.Header(t.Context()); !errors.Is(err, hyperbee.ErrUnsupported) {
				t.Errorf("header: %v", err)
			}
		}
		check(t, tree.Close())
	}
}

func TestHyperdbBee(t *testing.T) {
	var v struct {
		Bee struct {
			coreVector
			Entries [][2]string
			History [][]any
		}
	}
	vectors(t, "struct-hyperdb.json", &v)
	core := newCore(t)
	appendHex(t, core, v.Bee.Blocks)
	tree := hyperbee.New(core, nil)
	defer tree.Close()
	for i, e := range entries(t, tree, hyperbee.Range{}) {
		if got := [2]string{hex.EncodeToString(e.Key), hex.EncodeToString(e.Value)}; got != v.Bee.Entries[i] {
			t.Errorf("entry %d is %v, want %v", i, got, v.Bee.Entries[i])
		}
	}
	i := 0
	for c, err := range tree.History(t.Context(), hyperbee.HistoryRange{}) {
		check(t, err)
		kind, value := "put", any(hex.EncodeToString(c.Value))
		if c.Deleted {
			kind, value = "del", nil
		}
		if got, want := fmt.Sprint([]any{float64(c.Seq), kind, hex.EncodeToString(c.Key), value}), fmt.Sprint(v.Bee.History[i]); got != want {
			t.Errorf("history: got %s, want %s", got, want)
		}
		i++
	}
	if i != len(v.Bee.History) {
		t.Errorf("%d operations, want %d", i, len(v.Bee.History))
	}
	// The same operations give the same blocks: two batches in the order of the history.
	again := newTree(t, nil)
	for _, part := range [][][]any{v.Bee.History[:6], v.Bee.History[6:]} {
		b := again.Batch()
		for _, h := range part {
			key, _ := hex.DecodeString(h[2].(string))
			if h[1] == "del" {
				check(t, b.Del(context.Background(), key, nil))
				continue
			}
			value, _ := hex.DecodeString(h[3].(string))
			check(t, b.Put(context.Background(), key, value, nil))
		}
		check(t, b.Flush(context.Background()))
	}
	v.Bee.ByteLength = again.Core().ByteLength()
	v.Bee.check(t, again.Core())
}
