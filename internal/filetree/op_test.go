package filetree

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
)

func fullOp() *Op {
	return &Op{
		Undoes: OpID{1, 2, 3}, Redo: true,
		Changes: []Change{
			{Action: Put, Path: "a/b.txt", Base: Version{9}, Item: file("hello"), Resolves: []Version{{7}, {8}}},
			{Action: Put, Path: "a/c", Item: dir(0o700)},
			{Action: Put, Path: "a/l", Item: link("b.txt")},
			{Action: Delete, Path: "a/x", Base: Version{4}},
			{Action: Move, From: "a/d", Path: "e", Base: Version{5}},
			{Action: Settle, Path: "a/b.txt", Item: file("help"), Resolves: []Version{{6}}},
			{Action: Purge, Retention: 30 * 24 * time.Hour},
			{Action: Prune, Path: "a", Retention: time.Hour},
			{Action: TakeSnapshot, Name: "before"},
			{Action: DropSnapshot, Name: "before"},
		},
	}
}

func TestOpRoundTrip(t *testing.T) {
	op := fullOp()
	body, err := op.Encode()
	check(t, err)
	got, err := DecodeOp(body)
	check(t, err)
	if !reflect.DeepEqual(got, op) {
		t.Fatalf("got %+v\nwant %+v", got, op)
	}
	again, err := got.Encode()
	check(t, err)
	if !bytes.Equal(again, body) {
		t.Fatal("encoded differently")
	}
}

// The bytes are a format: this changes with a new version only.
func TestOpBytes(t *testing.T) {
	op := &Op{Changes: []Change{{Action: Put, Path: "a/b.txt", Base: Version{9}, Item: file("hi")}, {Action: Delete, Path: "a/c", Base: Version{1, 2}}}}
	body, err := op.Encode()
	check(t, err)
	const want = "01" + // version
		"0100" + // header: no flags
		"02" + // changes
		"4c" + "01" + "05" + "00" + "07612f622e747874" + "09000000000000000000000000000000" +
		"30" + "01" + "fda401" + "fe54d50dd6" + "00" + "02" + "6815cb4aeb1580a91ef673e63ff03bdb6e855c3a896db3f2765e03281a61134a" + "00" + "03016869" +
		"15" + "02" + "01" + "02" + "0163" + "01020000000000000000000000000000"
	if got := hex.EncodeToString(body); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestLimitsOfOperations(t *testing.T) {
	many := make([]Change, MaxChanges+1)
	for i := range many {
		many[i] = put("f", Version{}, "x")
	}
	large := make([]Change, MaxChanges)
	for i := range large {
		large[i] = Change{Action: Put, Path: "f", Item: Item{Kind: Symlink, Target: strings.Repeat("x", MaxTarget)}}
	}
	for name, changes := range map[string][]Change{
		"no changes":        {},
		"too many changes":  many,
		"too large":         large,
		"no path":           {put("", Version{}, "x")},
		"outside":           {put("../x", Version{}, "x")},
		"absolute":          {put("/x", Version{}, "x")},
		"not clean":         {put("a//x", Version{}, "x")},
		"dot":               {put("a/./x", Version{}, "x")},
		"slash at the end":  {put("a/", Version{}, "x")},
		"zero byte":         {put("a\x00", Version{}, "x")},
		"not UTF-8":         {put("a\xff", Version{}, "x")},
		"long name":         {put(strings.Repeat("x", MaxName+1), Version{}, "x")},
		"long path":         {put(strings.Repeat("abcdefghi/", MaxPath/10)+"abcdefghi", Version{}, "x")},
		"deep":              {put(strings.Repeat("x/", MaxDepth)+"x", Version{}, "x")},
		"no kind":           {{Action: Put, Path: "x"}},
		"no reference":      {{Action: Put, Path: "x", Item: Item{Kind: File, Size: 1}}},
		"no target":         {{Action: Put, Path: "x", Item: Item{Kind: Symlink}}},
		"bits beyond mode":  {{Action: Put, Path: "x", Item: Item{Kind: Dir, Mode: 1 << 20}}},
		"delete of nothing": {{Action: Delete, Path: "x"}},
		"move of nothing":   {{Action: Move, From: "x", Path: "y"}},
		"move into itself":  {{Action: Move, From: "x", Path: "x/y", Base: Version{1}}},
		"settles nothing":   {{Action: Settle, Path: "x", Item: file("x")}},
		"no action":         {{Path: "x"}},
		"nameless snapshot": {{Action: TakeSnapshot}},
	} {
		if _, err := (&Op{Changes: changes}).Encode(); !errors.Is(err, ErrOp) && !errors.Is(err, ErrPath) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bodies, err := Encode(Op{}, append(many, large...))
	check(t, err)
	n := 0
	for _, b := range bodies {
		op, err := DecodeOp(b)
		check(t, err)
		n += len(op.Changes)
	}
	if n != len(many)+len(large) {
		t.Fatalf("%d changes", n)
	}
}

// What later versions add is skipped, and the rest means the same.
func TestLaterVersionsOfChanges(t *testing.T) {
	frame := func(b []byte, parts ...[]byte) []byte { return compact.AppendBuffer(b, bytes.Join(parts, nil)) }
	var e opEncoder
	c := put("a/b", Version{}, "x")
	e.change(&c)
	known := e.b[1:] // without its length
	body := []byte{opVersion}
	body = frame(body, []byte{0x40, 1, 2, 3}) // a flag and fields that are unknown
	body = compact.AppendUint(body, 3)
	body = frame(body, []byte{200}, []byte("an action that is unknown"))
	longer := append([]byte{known[0], known[1] | 0x40}, known[2:]...)
	body = frame(body, longer, []byte("a field that is unknown"))
	body = frame(body, []byte{byte(Delete), hasBase, 2, 1, 'c'}, make([]byte, 15), []byte{1})
	op, err := DecodeOp(body)
	check(t, err)
	if op.Changes[0].Check() == nil {
		t.Fatal("an unknown action counts as valid")
	}
	if !reflect.DeepEqual(op.Changes[1], c) {
		t.Fatalf("%+v", op.Changes[1])
	}
	if op.Changes[2].Path != "a/c" {
		t.Fatalf("%+v", op.Changes[2])
	}
	w := newWorld(t)
	by := newDevice("Anna").next(0)
	check(t, Apply(context.Background(), w.s, by, body))
	w.want("a: /", "a/b: x")
	e2, _, err := w.view().Lookup(context.Background(), "a/b")
	check(t, err)
	if e2.Version != by.Version(1) {
		t.Fatal("changes that are skipped have no number")
	}
}

func TestUnreadableOperationsChangeNothing(t *testing.T) {
	w := newWorld(t)
	body, err := fullOp().Encode()
	check(t, err)
	for n := range body {
		if err := Apply(context.Background(), w.s, newDevice("Anna").next(0), body[:n]); !errors.Is(err, ErrOp) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	body[0] = opVersion + 1
	if err := Apply(context.Background(), w.s, newDevice("Anna").next(0), body); !errors.Is(err, ErrOp) {
		t.Fatal(err)
	}
	if len(w.s.keys) > 0 {
		t.Fatalf("state: %q", w.s.keys)
	}
}

func FuzzDecodeOp(f *testing.F) {
	body, err := fullOp().Encode()
	check(f, err)
	f.Add(body)
	f.Add([]byte{1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := DecodeOp(b)
		if err != nil {
			if !errors.Is(err, ErrOp) {
				t.Fatal(err)
			}
			return
		}
		again, err := op.Encode()
		if err != nil {
			return // some change is of no use
		}
		got, err := DecodeOp(again)
		check(t, err)
		if !reflect.DeepEqual(got, op) {
			t.Fatalf("got %+v\nwant %+v", got, op)
		}
	})
}

// Whatever comes, the state stays whole.
func FuzzApply(f *testing.F) {
	body, err := fullOp().Encode()
	check(f, err)
	f.Add(body, body)
	w := newWorld(f)
	d := newDevice("Anna")
	by := d.next(0)
	w.apply(by, put("a/b.txt", Version{}, "one"), put("a/d/e", Version{}, "two"), put("x", Version{}, "three"))
	w.apply(newDevice("Ben").next(1), put("x", Version{}, "four"), Change{Action: Delete, Path: "a/d/e", Base: by.Version(1)})
	for _, c := range []Change{
		put("a/b.txt", by.Version(0), "edit"),
		{Action: Move, From: "x", Path: "a/y", Base: by.Version(2)},
		{Action: Delete, Path: "x", Base: by.Version(2)},
		{Action: Put, Path: "a", Item: link("z")},
		{Action: Purge}, {Action: Prune},
	} {
		b, err := (&Op{Changes: []Change{c}}).Encode()
		check(f, err)
		f.Add(b, body)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s := w.s.clone()
		for i, body := range [][]byte{a, b} {
			by := Author{Log: d.log, Length: uint64(100 + i), Device: d.key, Time: hlc(10 + i)}
			if err := Apply(context.Background(), s, by, body); err != nil && !errors.Is(err, ErrOp) {
				t.Fatal(err)
			}
		}
		checkState(t, s)
	})
}

// Bytes that Apply did not write make readers fail, not crash.
func FuzzState(f *testing.F) {
	w := newWorld(f)
	d := newDevice("Anna")
	by := w.apply(d.next(0), put("a/b.txt", Version{}, "one"), put("x", Version{}, "three"))
	w.apply(d.next(1), put("a/b.txt", by.Version(0), "two"), Change{Action: Delete, Path: "x", Base: by.Version(1)}, Change{Action: TakeSnapshot, Name: "s"})
	w.apply(newDevice("Ben").next(2), put("a/b.txt", by.Version(0), "other"))
	for i, k := range w.s.keys {
		f.Add(uint(i), w.s.values[k])
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, i uint, value []byte) {
		s := w.s.clone()
		s.values[s.keys[i%uint(len(s.keys))]] = value
		v := NewView(s)
		for _, err := range v.Walk(ctx, "") {
			_ = err
		}
		for _, err := range v.Conflicts(ctx) {
			_ = err
		}
		for _, err := range v.Trash(ctx) {
			_ = err
		}
		for _, err := range v.History(ctx, "a/b.txt") {
			_ = err
		}
		for _, err := range v.Diff(ctx, 0, 3) {
			_ = err
		}
		for rec, err := range v.Undoable(ctx, d.key) {
			if err == nil {
				_, _, _ = v.Undo(ctx, rec)
			}
		}
		_ = Check(ctx, s)
		body, err := (&Op{Changes: []Change{put("a/b.txt", by.Version(0), "new"), {Action: Purge}, {Action: Prune}}}).Encode()
		check(t, err)
		_ = Apply(ctx, s, d.next(3), body)
	})
}
