package filetree

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// memory is a state in memory, in order.
type memory struct {
	keys   []string
	values map[string][]byte
}

func newMemory() *memory { return &memory{values: make(map[string][]byte)} }

func (m *memory) Get(_ context.Context, key []byte) ([]byte, bool, error) {
	v, ok := m.values[string(key)]
	return v, ok, nil
}

func (m *memory) Put(_ context.Context, key, value []byte) error {
	k := string(key)
	if _, ok := m.values[k]; !ok {
		i, _ := slices.BinarySearch(m.keys, k)
		m.keys = slices.Insert(m.keys, i, k)
	}
	m.values[k] = slices.Clone(value)
	return nil
}

func (m *memory) Del(_ context.Context, key []byte) error {
	k := string(key)
	if i, ok := slices.BinarySearch(m.keys, k); ok {
		m.keys = slices.Delete(m.keys, i, i+1)
		delete(m.values, k)
	}
	return nil
}

func (m *memory) Entries(_ context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error] {
	return func(yield func(hyperbee.Entry, error) bool) {
		from, to := 0, len(m.keys)
		bound := func(k []byte, behind bool) int {
			i, found := slices.BinarySearch(m.keys, string(k))
			if found && behind {
				i++
			}
			return i
		}
		switch {
		case r.GT != nil:
			from = bound(r.GT, true)
		case r.GTE != nil:
			from = bound(r.GTE, false)
		}
		switch {
		case r.LT != nil:
			to = bound(r.LT, false)
		case r.LTE != nil:
			to = bound(r.LTE, true)
		}
		if from >= to {
			return
		}
		keys := slices.Clone(m.keys[from:to])
		if r.Reverse {
			slices.Reverse(keys)
		}
		for n, k := range keys {
			if r.Limit > 0 && n == r.Limit {
				return
			}
			v, ok := m.values[k]
			if !ok {
				continue
			}
			if !yield(hyperbee.Entry{Key: []byte(k), Value: v}, nil) {
				return
			}
		}
	}
}

func (m *memory) clone() *memory {
	c := &memory{keys: slices.Clone(m.keys), values: make(map[string][]byte, len(m.values))}
	for k, v := range m.values {
		c.values[k] = v
	}
	return c
}

// failer is what tests and property tests have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func check(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var start = time.Date(2026, 11, 25, 14, 3, 22, 0, time.UTC)

// hlc is the hybrid logical time some minutes after the start.
func hlc(minutes int) uint64 {
	return uint64(start.Add(time.Duration(minutes)*time.Minute).UnixMilli()) << 16
}

// device is a writer in tests.
type device struct {
	name   string
	key    hypercrypto.PublicKey
	log    hypercrypto.Key
	length uint64
}

func newDevice(name string) *device {
	return &device{name: name, key: hypercrypto.PublicKey(hypercrypto.Sum([]byte("device"), []byte(name))),
		log: hypercrypto.Key(hypercrypto.Sum([]byte("log"), []byte(name)))}
}

// next returns the device as author of its next operation.
func (d *device) next(minutes int) Author {
	d.length++
	return Author{Log: d.log, Length: d.length, Device: d.key, DeviceName: d.name, Time: hlc(minutes)}
}

func file(content string) Item {
	it := Item{Kind: File, Mode: 0o644, Modified: start, Size: uint64(len(content)), Hash: hypercrypto.Sum([]byte(content))}
	if content != "" {
		it.Content = append(binary.AppendUvarint(nil, 1), content...)
	}
	return it
}

func dir(mode fs.FileMode) Item { return Item{Kind: Dir, Mode: mode, Modified: start} }

func link(target string) Item {
	return Item{Kind: Symlink, Mode: 0o777, Modified: start, Target: target}
}

// world is a tree under test.
type world struct {
	t testing.TB
	s *memory
}

func newWorld(t testing.TB) *world { return &world{t, newMemory()} }

func (w *world) view() *View { return NewView(w.s) }

// apply applies an operation and returns the author.
func (w *world) apply(by Author, changes ...Change) Author {
	w.t.Helper()
	w.applyOp(by, &Op{Changes: changes})
	return by
}

func (w *world) applyOp(by Author, op *Op) {
	w.t.Helper()
	body, err := op.Encode()
	check(w.t, err)
	check(w.t, Apply(context.Background(), w.s, by, body))
}

func put(path string, base Version, content string) Change {
	return Change{Action: Put, Path: path, Base: base, Item: file(content)}
}

// text returns what an item of the tests is, in words.
func text(e *Item, content []byte) string {
	switch e.Kind {
	case Dir:
		return "/"
	case Symlink:
		return "-> " + e.Target
	}
	if len(content) == 0 {
		return ""
	}
	return string(content[1:])
}

// tree renders the tree: a line per entry.
func (w *world) tree() string {
	w.t.Helper()
	var b strings.Builder
	v := w.view()
	for e, err := range v.Walk(context.Background(), "") {
		check(w.t, err)
		c, err := w.view().Content(context.Background(), e.Hash)
		check(w.t, err)
		fmt.Fprintf(&b, "%s: %s\n", e.Path, text(&e.Item, c))
	}
	return b.String()
}

func (w *world) want(lines ...string) {
	w.t.Helper()
	want := strings.Join(lines, "\n")
	if got := strings.TrimSuffix(w.tree(), "\n"); got != want {
		w.t.Fatalf("the tree is\n%s\n\nnot\n%s", got, want)
	}
	checkState(w.t, w.s)
}

// checkState checks what holds of every state.
func checkState(t failer, s Reader) {
	t.Helper()
	if err := Check(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}
