package storage

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/storage/baddisk"
)

var errInjected = errors.New("injected")

// TestFailureBeforeAndAfterEachStep makes the n-th write or sync of a series of
// commits fail, before it happens or after, for every n. Then the store is
// opened again: what was acknowledged is there, and each batch whole or not at
// all.
func TestFailureBeforeAndAfterEachStep(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := int64(0); ; n++ {
			if done := failAt(t, n, after); done {
				if n < 20 {
					t.Fatalf("only %d steps", n)
				}
				break
			}
		}
	}
}

func failAt(t *testing.T, n int64, after bool) (done bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	fs := baddisk.New(mem)
	db, err := Open("s", &Options{FS: fs, SegmentSize: 20000})
	if err != nil {
		t.Fatal(err)
	}
	c := createTest(t, db, 1)
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	fs.Fail(baddisk.Fault{Op: errorfs.OpIsWrite, At: n, After: after, Err: errInjected})
	acked := 0
	var failure error
	for i := range 8 {
		b := db.NewBatch()
		b.PutBlock(c, uint64(2*i), testBlock(uint64(2*i), 3000))
		b.PutBlock(c, uint64(2*i+1), testBlock(uint64(2*i+1), 30))
		b.SetHead(c, Head{Length: uint64(2*i + 2)})
		mode := Mode(i % 2)
		if failure = b.Commit(mode); failure != nil {
			break
		}
		acked = i + 1
	}
	seen, _ := fs.Mend()
	if failure != nil {
		if !errors.Is(failure, errInjected) && !errors.Is(failure, ErrFailed) {
			t.Fatalf("step %d: %v", n, failure)
		}
		if errors.Is(failure, ErrFailed) {
			b := db.NewBatch()
			b.SetHead(c, Head{Length: 99})
			if err := b.Commit(Relaxed); !errors.Is(err, ErrFailed) {
				t.Fatalf("step %d: commit after failure: %v", n, err)
			}
		}
	}
	closeErr := db.Close()
	again, err := Open("s", &Options{FS: mem, SegmentSize: 20000})
	if err != nil {
		t.Fatalf("step %d, after %v: reopen: %v (close: %v)", n, after, err, closeErr)
	}
	defer again.Close()
	c, err = again.Core(dkOf(1))
	if err != nil {
		t.Fatal(err)
	}
	h := c.Head()
	if h.Length < uint64(2*acked) || h.Length > uint64(2*acked+2) || h.Contiguous != h.Length {
		t.Fatalf("step %d, after %v: %d batches acknowledged, head %+v, lost %v", n, after, acked, h, again.Lost())
	}
	for i := uint64(0); i < h.Length; i++ {
		if got, err := c.Block(i, nil); err != nil || !bytes.Equal(got, testBlock(i, []int{3000, 30}[i%2])) {
			t.Fatalf("step %d: block %d: %v", n, i, err)
		}
	}
	if err := checkAll(again); err != nil {
		t.Fatal(err)
	}
	return seen <= n
}

// fullFS has no room.
type fullFS struct {
	vfs.FS
	usage atomic.Pointer[vfs.DiskUsage]
	seg   atomic.Bool // writes to segments fail
}

func (fs *fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) { return *fs.usage.Load(), nil }

func TestFullDiskRefusesCleanly(t *testing.T) {
	fs := &fullFS{FS: vfs.NewMem()}
	fs.usage.Store(&vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 1 << 39})
	inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fs.seg.Load() && op.Kind == errorfs.OpFileWriteAt {
			return &vfsError{syscall.ENOSPC}
		}
		return nil
	})
	db := openTest(t, "s", &Options{FS: errorfs.Wrap(fs, inj)})
	c := createTest(t, db, 1)
	try := func(size int) error {
		b := db.NewBatch()
		defer b.Close()
		b.PutBlock(c, 0, testBlock(0, size))
		b.SetHead(c, Head{Length: 1})
		return b.Commit(Durable)
	}
	if err := try(5000); err != nil {
		t.Fatal(err)
	}
	fs.seg.Store(true)
	if err := try(6000); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	fs.seg.Store(false)
	db.space.left = 0
	fs.usage.Store(&vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 1000})
	for _, size := range []int{10, 7000} {
		if err := try(size); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if got, err := c.Block(0, nil); err != nil || len(got) != 5000 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	fs.usage.Store(&vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 1 << 39})
	if err := try(8000); err != nil {
		t.Fatal(err)
	}
	if err := checkAll(db); err != nil {
		t.Fatal(err)
	}
}

type vfsError struct{ errno syscall.Errno }

func (e *vfsError) Error() string { return e.errno.Error() }
func (e *vfsError) Unwrap() error { return e.errno }

// TestFlippedBytesNeverGiveWrongData damages each file of a store at many places.
func TestFlippedBytesNeverGiveWrongData(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, nil)
	c := createTest(t, db, 1)
	const n = 100
	sizeOf := func(i uint64) int { return []int{20, 3000}[i%2] }
	b := db.NewBatch()
	for i := uint64(0); i < n; i++ {
		b.PutBlock(c, i, testBlock(i, sizeOf(i)))
		b.PutNodes(c, appendNodes(nil, i))
	}
	b.SetHead(c, Head{Length: n})
	if err := b.Commit(Durable); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, p := range []string{"db/*.sst", "segments/*.seg", "db/*.log", "db/MANIFEST*"} {
		m, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m...)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	detected := 0
	for _, file := range files {
		for range 30 {
			mem := vfs.NewMem()
			if ok, err := vfs.Clone(vfs.Default, mem, dir, "s"); err != nil || !ok {
				t.Fatal(ok, err)
			}
			rel, _ := filepath.Rel(dir, file)
			flip(t, mem, filepath.Join("s", rel), rng)
			if readDamaged(t, mem, n, sizeOf) {
				detected++
			}
		}
	}
	if detected < 6*len(files) {
		t.Fatalf("only %d damages were noticed", detected)
	}
}

func flip(t *testing.T, mem *vfs.MemFS, name string, rng *rand.Rand) {
	t.Helper()
	f, err := mem.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return
	}
	var b [1]byte
	off := rng.Int64N(fi.Size())
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= byte(1 + rng.IntN(255))
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// readDamaged reads all it can and tells whether anything was amiss.
func readDamaged(t *testing.T, mem vfs.FS, n uint64, sizeOf func(uint64) int) (noticed bool) {
	t.Helper()
	db, err := Open("s", &Options{FS: mem})
	if err != nil {
		return true
	}
	defer db.Close()
	c, err := db.Core(dkOf(1))
	if err != nil {
		return true
	}
	for i := uint64(0); i < n; i++ {
		got, err := c.Block(i, nil)
		if err != nil {
			noticed = true
		} else if !bytes.Equal(got, testBlock(i, sizeOf(i))) {
			t.Fatalf("block %d has wrong bytes", i)
		}
		if nd, err := c.Node(2 * i); err != nil {
			noticed = true
		} else if nd != testNode(2*i) {
			t.Fatalf("node %d is wrong", 2*i)
		}
	}
	problems := 0
	if err := db.Check(context.Background(), CheckOptions{}, func(Problem) { problems++ }); err != nil {
		problems++
	}
	if noticed && problems == 0 {
		t.Fatal("Check finds nothing though reads failed")
	}
	return noticed || problems > 0
}

func TestPagesAreDecodedSafely(t *testing.T) {
	for _, data := range [][]byte{nil, {0}, {1}, {1, 60, 5}, {1, 0, 0}, {2}, {1, 0, 1, 0xff}, {1, 0, 1, 3, 0}} {
		for _, part := range []byte{partTree, partBlock} {
			var p page
			if err := p.parse(part, data); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%x: %v", data, err)
			}
		}
	}
}
