package spacefs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
	"github.com/tradle/cloudpal/internal/space"
)

// Three devices change the same few paths, connected or not. In the end they have the
// same tree, and every content that was ever written is in the tree, the history or the
// trash, and can be read by a device that keeps everything.
func TestDevicesComeTogetherAndLoseNothing(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { converge(t, seed) })
	}
}

func converge(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	ms := []*machine{newMachine(t, "ada", Options{}), newMachine(t, "bob", Options{}), newMachine(t, "cyd", Options{Policy: Policy{Everything: true}})}
	ms[0].create()
	var cuts []func()
	link := func() {
		cuts = []func(){connect(t, ms[0], ms[1]), connect(t, ms[1], ms[2]), connect(t, ms[0], ms[2])}
	}
	link()
	ms[0].join(ms[1], space.Editor)
	ms[0].join(ms[2], space.Editor)
	written := make(map[hypercrypto.Hash]string)
	paths := []string{"a", "b", "dir/c", "dir/d", "dir/sub/e"}
	big := []byte(randomText(byte(seed), 1_500_000))
	for round := range 3 {
		for range 12 {
			act(t, ms[rng.IntN(len(ms))], rng, paths, big, written)
		}
		for _, cut := range cuts {
			cut()
		}
		for range 12 {
			act(t, ms[rng.IntN(len(ms))], rng, paths, big, written)
		}
		link()
		if round == 1 {
			agree(t, ms...)
		}
	}
	agree(t, ms...)

	var trees []map[string]filetree.Version
	for _, m := range ms {
		v, release := m.View()
		must(t, filetree.Check(t.Context(), v))
		tree := make(map[string]filetree.Version)
		for e, err := range v.Walk(t.Context(), "") {
			must(t, err)
			tree[e.Path] = e.Version
		}
		trees = append(trees, tree)
		release()
		if !maps.Equal(tree, trees[0]) {
			t.Errorf("%s has %v, %s has %v", m.name, tree, ms[0].name, trees[0])
		}
	}
	eventually(t, "everything is kept", func() bool {
		return ms[2].survey().Lacks[0] == (Lack{})
	})
	v, release := ms[2].View()
	defer release()
	for hash, text := range written {
		list, err := ms[2].places(t.Context(), v, hash, uint64(len(text)))
		must(t, err)
		if len(list) == 0 || !list[0].whole() {
			t.Errorf("content %.20q is lost", text)
			continue
		}
		r, err := ms[2].Files.store.OpenLocal(t.Context(), list[0].Ref)
		must(t, err)
		var b bytes.Buffer
		if _, err := r.WriteTo(&b); err != nil || b.String() != text {
			t.Errorf("content %.20q: %v", text, err)
		}
		r.Close()
	}
}

// act makes one random change.
func act(t *testing.T, m *machine, rng *rand.Rand, paths []string, big []byte, written map[hypercrypto.Hash]string) {
	t.Helper()
	path := paths[rng.IntN(len(paths))]
	files := m.files()
	switch n := rng.IntN(10); {
	case n < 5 || len(files) == 0:
		text := fmt.Sprintf("%s %d", m.name, rng.Uint64())
		if n == 0 {
			big[rng.IntN(len(big))] ^= 1
			text = string(big)
		}
		written[digest.Sum([]byte(text))] = text
		m.put(map[string]string{path: text})
	case n < 7:
		gone := files[rng.IntN(len(files))]
		e, ok := m.lookup(gone)
		if !ok {
			return // what others did arrived meanwhile
		}
		_, err := m.Commit(t.Context(), []filetree.Change{{Action: filetree.Delete, Path: gone, Base: e.Version}})
		must(t, err)
	case n < 9:
		from := files[rng.IntN(len(files))]
		if slices.Contains(files, path) || from == path {
			return
		}
		e, ok := m.lookup(from)
		if !ok {
			return
		}
		_, err := m.Commit(t.Context(), []filetree.Change{{Action: filetree.Move, From: from, Path: path, Base: e.Version}})
		must(t, err)
	default:
		if _, err := m.Undo(t.Context()); err != nil && fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
	}
}
