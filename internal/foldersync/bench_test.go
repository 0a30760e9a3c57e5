package foldersync

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// fillFolder makes n small files, 100 in each folder.
func fillFolder(b testing.TB, root string, n int) {
	b.Helper()
	data := make([]byte, 4096)
	yesterday := time.Now().Add(-24 * time.Hour)
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("d%02d", i/10_000), fmt.Sprintf("e%02d", i/100%100))
		if i%100 == 0 {
			must(b, os.MkdirAll(dir, 0o755))
		}
		copy(data, fmt.Sprintf("file %d", i))
		name := filepath.Join(dir, fmt.Sprintf("document-%06d.txt", i))
		must(b, os.WriteFile(name, data[:100+i%1000], 0o644), os.Chtimes(name, yesterday, yesterday))
	}
}

func BenchmarkImportSmallFiles(b *testing.B) {
	const n = 20_000
	root := filepath.Join(b.TempDir(), "folder")
	fillFolder(b, root, n)
	for b.Loop() {
		b.StopTimer()
		must(b, os.RemoveAll(filepath.Join(root, markerName)))
		tree := newMemTree()
		f, err := Open(tree.view(), root, b.TempDir(), nil)
		must(b, err)
		b.StartTimer()
		must(b, f.Once(b.Context()))
		b.StopTimer()
		if got := len(tree.entries); got < n {
			b.Fatalf("%d entries", got)
		}
		must(b, f.Close())
		b.StartTimer()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkWriteSmallFiles(b *testing.B) {
	const n = 20_000
	root := filepath.Join(b.TempDir(), "folder")
	fillFolder(b, root, n)
	tree := newMemTree()
	f, err := Open(tree.view(), root, b.TempDir(), nil)
	must(b, err, f.Once(b.Context()), f.Close())
	for b.Loop() {
		b.StopTimer()
		f, err := Open(tree.view(), filepath.Join(b.TempDir(), "folder"), b.TempDir(), nil)
		must(b, err)
		b.StartTimer()
		must(b, f.Once(b.Context()))
		b.StopTimer()
		if s := f.Status(); len(s.Problems) > 0 || s.Written < n {
			b.Fatalf("%+v", s)
		}
		must(b, f.Close())
		b.StartTimer()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkRescan looks at 100,000 files of which none changed, and reports the memory
// that is used afterwards beside the tree's.
func BenchmarkRescan(b *testing.B) {
	root := filepath.Join(b.TempDir(), "folder")
	fillFolder(b, root, 100_000)
	state := b.TempDir()
	tree := newMemTree()
	f, err := Open(tree.view(), root, state, nil)
	must(b, err, f.Once(b.Context()), f.Close())
	before := heap()
	f, err = Open(tree.view(), root, state, nil)
	must(b, err)
	for b.Loop() {
		must(b, f.Once(b.Context()))
	}
	b.StopTimer()
	b.ReportMetric((heap()-before)/1e6, "MB-idle")
	if s := f.Status(); s.Committed > 0 || s.Written > 0 || s.Files < 100_000 {
		b.Errorf("%+v", s)
	}
	must(b, f.Close())
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
