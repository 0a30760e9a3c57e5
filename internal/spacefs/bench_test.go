package spacefs

import (
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// fill puts n small files into the tree, as a folder does: a thousand with each operation.
func (m *machine) fill(dir string, n int) {
	m.t.Helper()
	for done := 0; done < n; done += filetree.MaxChanges {
		list := make([]Small, min(filetree.MaxChanges, n-done))
		for i := range list {
			data := fmt.Appendf(nil, "%s %d", dir, done+i)
			list[i] = Small{data, hypercrypto.Sum(data)}
		}
		refs, err := m.StoreBatch(m.t.Context(), list)
		must(m.t, err)
		changes := make([]filetree.Change, len(list))
		for i, ref := range refs {
			changes[i] = filetree.Change{Action: filetree.Put, Path: fmt.Sprintf("%s/%d/%d", dir, i/100, done+i), Item: filetree.Item{
				Kind: filetree.File, Mode: 0o644, Modified: time.Unix(1_700_000_000, 0), Size: ref.Size, Hash: ref.Hash, Content: ref.Encode(),
			}}
		}
		_, err = m.Commit(m.t.Context(), changes)
		must(m.t, err)
	}
}

func BenchmarkThousandSmallFiles(b *testing.B) {
	m := newMachine(b, "ada", Options{})
	m.create()
	for i := 0; b.Loop(); i++ {
		m.fill(fmt.Sprint(i), 1000)
	}
}

func BenchmarkSurvey(b *testing.B) {
	m := newMachine(b, "ada", Options{})
	m.create()
	m.fill("dir", 20_000)
	for b.Loop() {
		if h := m.survey(); h.Lacks[0] != (Lack{}) || h.Contents != 20_000 {
			b.Fatal(h)
		}
	}
}

func BenchmarkPosition(b *testing.B) {
	m := newMachine(b, "ada", Options{})
	m.create()
	m.fill("dir", 20_000)
	t := m.Tree()
	defer t.Close()
	for b.Loop() {
		if _, err := t.Position(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
