package filetree

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// bee is a state in a real bee.
type bee struct {
	*hyperbee.Batch
}

func (b bee) Get(ctx context.Context, key []byte) ([]byte, bool, error) {
	e, ok, err := b.Batch.Get(ctx, key)
	return e.Value, ok, err
}

func (b bee) Put(ctx context.Context, key, value []byte) error {
	return b.Batch.Put(ctx, key, value, nil)
}

func (b bee) Del(ctx context.Context, key []byte) error { return b.Batch.Del(ctx, key, nil) }

// beeReader reads what is in a bee.
type beeReader struct{ *hyperbee.Tree }

func (b beeReader) Get(ctx context.Context, key []byte) ([]byte, bool, error) {
	e, ok, err := b.Tree.Get(ctx, key)
	return e.Value, ok, err
}

func newBee(t testing.TB) *hyperbee.Tree {
	t.Helper()
	s, err := corestore.Open(context.Background(), "store", &corestore.Options{Relaxed: true, Storage: &storage.Options{FS: vfs.NewMem()}})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	core, err := s.Get(context.Background(), corestore.GetOptions{Name: "state"})
	check(t, err)
	tree := hyperbee.New(core, &hyperbee.Options{NoExtension: true, SkipUnchanged: true})
	t.Cleanup(func() { check(t, tree.Close()) })
	return tree
}

func applyTo(t testing.TB, tree *hyperbee.Tree, by Author, changes ...Change) {
	t.Helper()
	ctx := context.Background()
	bodies, err := Encode(Op{}, changes)
	check(t, err)
	if len(bodies) != 1 {
		t.Fatalf("%d operations", len(bodies))
	}
	b := tree.Batch()
	defer func() { check(t, b.Close()) }()
	check(t, Apply(ctx, bee{b}, by, bodies[0]))
	check(t, b.Flush(ctx))
}

// someFile is the nth of many files, 100 to a directory.
func someFile(n, edition int) Change {
	it := Item{Kind: File, Mode: 0o644, Modified: start.Add(12345), Size: uint64(1000 + n)}
	it.Hash = hypercrypto.Sum(binary.BigEndian.AppendUint64(nil, uint64(n)<<8|uint64(edition)))
	it.Content = append(make([]byte, 34), it.Hash[:8]...) // as long as a reference to one part
	return Change{Action: Put, Path: fmt.Sprintf("projects/part%04d/section/document %07d.txt", n/100, n), Item: it}
}

const benchFiles = 100_000

func fillBee(t testing.TB, tree *hyperbee.Tree, d *device, files int) {
	for n := 0; n < files; n += MaxChanges {
		var changes []Change
		for i := n; i < min(n+MaxChanges, files); i++ {
			changes = append(changes, someFile(i, 0))
		}
		applyTo(t, tree, d.next(n/MaxChanges), changes...)
	}
}

// BenchmarkImport applies operations of 1000 new files until there are 100,000.
func BenchmarkImport(b *testing.B) {
	var size uint64
	for b.Loop() {
		tree := newBee(b)
		fillBee(b, tree, newDevice("Anna"), benchFiles)
		size = tree.Core().ByteLength()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchFiles), "ns/change")
	b.ReportMetric(float64(size)/benchFiles, "B/file")
}

func benchBee(b *testing.B) (*hyperbee.Tree, *device) {
	tree, d := newBee(b), newDevice("Anna")
	fillBee(b, tree, d, benchFiles)
	b.ResetTimer()
	return tree, d
}

// BenchmarkEdit applies operations of 1000 edits, all over 100,000 files.
func BenchmarkEdit(b *testing.B) {
	tree, d := benchBee(b)
	v := NewView(beeReader{tree})
	ctx := context.Background()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		var changes []Change
		for i := range MaxChanges {
			c := someFile((i*97+n)%benchFiles, 1+n%200)
			e, _, err := v.Lookup(ctx, c.Path)
			check(b, err)
			c.Base = e.Version
			changes = append(changes, c)
		}
		b.StartTimer()
		applyTo(b, tree, d.next(1000+n), changes...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxChanges), "ns/change")
}

// BenchmarkSaveOne applies operations of one edit, in 100,000 files.
func BenchmarkSaveOne(b *testing.B) {
	tree, d := benchBee(b)
	v := NewView(beeReader{tree})
	ctx := context.Background()
	for n := 0; b.Loop(); n++ {
		c := someFile(n*97%benchFiles, 1+n%200)
		e, _, err := v.Lookup(ctx, c.Path)
		check(b, err)
		c.Base = e.Version
		applyTo(b, tree, d.next(1000+n), c)
	}
}

// BenchmarkMoveDir moves a directory of 10,000 files.
func BenchmarkMoveDir(b *testing.B) {
	tree, d := newBee(b), newDevice("Anna")
	fillBee(b, tree, d, 10_000)
	b.ResetTimer()
	v := NewView(beeReader{tree})
	names := []string{"projects", "moved"}
	for n := 0; b.Loop(); n++ {
		e, ok, err := v.Lookup(context.Background(), names[n%2])
		if err != nil || !ok {
			b.Fatal(ok, err)
		}
		applyTo(b, tree, d.next(1000+n), Change{Action: Move, From: names[n%2], Path: names[(n+1)%2], Base: e.Version})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10_000), "ns/file")
}

// BenchmarkWalk walks 100,000 files.
func BenchmarkWalk(b *testing.B) {
	tree, _ := benchBee(b)
	for b.Loop() {
		n := 0
		for _, err := range NewView(beeReader{tree}).Walk(context.Background(), "") {
			check(b, err)
			n++
		}
		if n < benchFiles {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchFiles), "ns/file")
}

// BenchmarkDiff finds 10 changes in 100,000 files.
func BenchmarkDiff(b *testing.B) {
	tree, d := benchBee(b)
	for i := range 10 {
		applyTo(b, tree, d.next(1000+i), someFile(benchFiles+i, 0))
	}
	v := NewView(beeReader{tree})
	n, err := v.Count(context.Background())
	check(b, err)
	for b.Loop() {
		found := 0
		for _, err := range v.Diff(context.Background(), n.Ops-10, n.Ops) {
			check(b, err)
			found++
		}
		if found < 10 {
			b.Fatal(found)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	op := &Op{}
	for i := range MaxChanges {
		op.Changes = append(op.Changes, someFile(i, 0))
	}
	var n int
	for b.Loop() {
		body, err := op.Encode()
		check(b, err)
		n = len(body)
	}
	b.ReportMetric(float64(n)/MaxChanges, "B/change")
}
