package hyperbee_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperbee"
)

type query struct {
	GT, GTE, LT, LTE *string
	Reverse          bool
	Limit            *int
}

func (q query) toRange() hyperbee.Range {
	b := func(s *string) []byte {
		if s == nil {
			return nil
		}
		return []byte(*s)
	}
	r := hyperbee.Range{GT: b(q.GT), GTE: b(q.GTE), LT: b(q.LT), LTE: b(q.LTE), Reverse: q.Reverse}
	if q.Limit != nil {
		if r.Limit = *q.Limit; r.Limit == 0 {
			r.Limit = -1
		}
	}
	return r
}

type queryVectors struct {
	Core    coreVector
	Version uint64
	Ranges  []struct {
		Query query
		Keys  string
		Seqs  []uint64
	}
	Diffs []struct {
		Left, Right uint64
		Query       query
		Result      [][2]*string
	}
	History []struct {
		Query struct {
			GT, GTE, LT, LTE, Since *int
			Reverse                 bool
			Limit                   int
		}
		Result []string
	}
	Gets []struct {
		Key      *string
		Seq      *uint64
		Value    *string
		Checkout uint64
		Entries  string
	}
	Sub struct{ RootKeysHex, SubDefaultRangeHex []string }
}

func queryTree(t *testing.T) (*hyperbee.Tree, *queryVectors) {
	var v queryVectors
	vectors(t, "struct-bee-query.json", &v)
	tree := treeOn(t, namedCore(t, "query", nil), nil)
	replay(t, tree, opLog(2024, 120, 50), 0)
	v.Core.check(t, tree.Core())
	if tree.Version() != v.Version {
		t.Fatalf("version %d, want %d", tree.Version(), v.Version)
	}
	return tree, &v
}

func TestRangeVectors(t *testing.T) {
	tree, v := queryTree(t)
	// An uncommitted batch without changes reads the same.
	batch := tree.Batch()
	check(t, batch.Del(t.Context(), []byte("missing"), nil))
	for _, c := range v.Ranges {
		var keys []string
		var seqs []uint64
		for _, e := range entries(t, tree, c.Query.toRange()) {
			keys, seqs = append(keys, string(e.Key)), append(seqs, e.Seq)
		}
		if strings.Join(keys, " ") != c.Keys || fmt.Sprint(seqs) != fmt.Sprint(c.Seqs) {
			t.Errorf("%+v: got %v %v, want %s %v", c.Query, keys, seqs, c.Keys, c.Seqs)
		}
		keys = nil
		for e, err := range batch.Entries(t.Context(), c.Query.toRange()) {
			check(t, err)
			keys = append(keys, string(e.Key))
		}
		if strings.Join(keys, " ") != c.Keys {
			t.Errorf("batch: %+v: got %v", c.Query, keys)
		}
		e, ok, err := tree.Peek(t.Context(), c.Query.toRange())
		check(t, err)
		if ok != (c.Keys != "") || ok && e.Seq != c.Seqs[0] {
			t.Errorf("peek %+v: got %v %v", c.Query, e, ok)
		}
	}
	check(t, batch.Close())
}

func TestDiffVectors(t *testing.T) {
	tree, v := queryTree(t)
	for _, c := range v.Diffs {
		left, err := tree.Checkout(c.Left)
		check(t, err)
		right, err := tree.Checkout(c.Right)
		check(t, err)
		text := func(e *hyperbee.Entry) string {
			if e == nil {
				return "null"
			}
			return fmt.Sprintf("%s@%d", e.Key, e.Seq)
		}
		wantText := func(s *string) string {
			if s == nil {
				return "null"
			}
			return *s
		}
		var got, want []string
		for d, err := range left.Diff(t.Context(), right, c.Query.toRange()) {
			check(t, err)
			got = append(got, text(d.Left)+" "+text(d.Right))
		}
		for _, r := range c.Result {
			want = append(want, wantText(r[0])+" "+wantText(r[1]))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d to %d %+v:\n got %v\nwant %v", c.Left, c.Right, c.Query, got, want)
		}
		check(t, left.Close())
		check(t, right.Close())
	}
}

func TestHistoryVectors(t *testing.T) {
	tree, v := queryTree(t)
	for _, c := range v.History {
		// The bounds of JavaScript as Start and End: negative counts from the
		// version.
		seq := func(n *int) uint64 {
			if *n < 0 {
				return uint64(int(v.Version) + *n)
			}
			return uint64(*n)
		}
		h := hyperbee.HistoryRange{Reverse: c.Query.Reverse, Limit: c.Query.Limit}
		switch {
		case c.Query.GT != nil:
			h.Start = seq(c.Query.GT) + 1
		case c.Query.GTE != nil:
			h.Start = seq(c.Query.GTE)
		case c.Query.Since != nil:
			h.Start = seq(c.Query.Since)
		}
		switch {
		case c.Query.LTE != nil:
			h.End = seq(c.Query.LTE) + 1
		case c.Query.LT != nil && *c.Query.LT == -110:
			// Before the first entry: nothing, which End 0 does not express.
			h.Limit = -1
		case c.Query.LT != nil:
			h.End = seq(c.Query.LT)
		}
		var got []string
		for e, err := range tree.History(t.Context(), h) {
			check(t, err)
			kind := "put"
			if e.Deleted {
				kind = "del"
			}
			got = append(got, fmt.Sprintf("%s %s@%d", kind, e.Key, e.Seq))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.Result) {
			t.Errorf("%+v:\n got %v\nwant %v", c.Query, got, c.Result)
		}
	}
}

func TestGetAndCheckoutVectors(t *testing.T) {
	tree, v := queryTree(t)
	for _, c := range v.Gets {
		if c.Key == nil {
			old, err := tree.Checkout(c.Checkout)
			check(t, err)
			var got []string
			for _, e := range entries(t, old, hyperbee.Range{}) {
				got = append(got, fmt.Sprintf("%s@%d", e.Key, e.Seq))
			}
			if strings.Join(got, " ") != c.Entries {
				t.Errorf("version %d: %v, want %s", c.Checkout, got, c.Entries)
			}
			check(t, old.Close())
			continue
		}
		e, ok, err := tree.Get(t.Context(), []byte(*c.Key))
		check(t, err)
		if ok != (c.Seq != nil) || ok && (e.Seq != *c.Seq || string(e.Value) != *c.Value) {
			t.Errorf("%s is %v %v", *c.Key, e, ok)
		}
	}
}

func TestSubVectors(t *testing.T) {
	var v queryVectors
	vectors(t, "struct-bee-query.json", &v)
	tree := newTree(t, nil)
	s := tree.Sub("s", nil)
	put(t, tree, "r", "1")
	for _, k := range []string{"", "\x00", "\x01", "a", "b", "ÿ"} {
		put(t, s, k, "v")
	}
	put(t, tree, "s", "exact prefix without separator")
	put(t, tree, "s\x01", "next")
	keys := func(tree *hyperbee.Tree, r hyperbee.Range) (out []string) {
		for _, e := range entries(t, tree, r) {
			out = append(out, hex.EncodeToString(e.Key))
		}
		return out
	}
	if got := keys(tree, hyperbee.Range{}); fmt.Sprint(got) != fmt.Sprint(v.Sub.RootKeysHex) {
		t.Errorf("keys %v, want %v", got, v.Sub.RootKeysHex)
	}
	if got := keys(s, hyperbee.Range{}); fmt.Sprint(got) != fmt.Sprint(v.Sub.SubDefaultRangeHex) {
		t.Errorf("keys of the sub %v, want %v", got, v.Sub.SubDefaultRangeHex)
	}
	if got := keys(s, hyperbee.Range{GTE: []byte{}}); len(got) != 6 {
		t.Errorf("all keys of the sub: %v", got)
	}
	n := 0
	for _, err := range s.History(t.Context(), hyperbee.HistoryRange{}) {
		check(t, err)
		n++
	}
	if n != 6 {
		t.Errorf("history of the sub has %d operations", n)
	}
	e, ok, err := s.Get(t.Context(), []byte("a"))
	if err != nil || !ok || string(e.Key) != "a" {
		t.Errorf("get from the sub: %v %v %v", e, ok, err)
	}
}
