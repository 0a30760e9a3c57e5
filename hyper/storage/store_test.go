package storage

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

func TestFilesBelongToTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	db := openTest(t, dir, nil)
	c := createTest(t, db, 1)
	commit(t, db, Durable, func(b *Batch) { b.PutBlock(c, 0, testBlock(0, 5000)) })
	err := filepath.Walk(dir, func(p string, fi os.FileInfo, err error) error {
		want := os.FileMode(0o600)
		if err == nil && fi.IsDir() {
			want = 0o700
		}
		if err == nil && fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v", p, fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func commit(t testing.TB, db *DB, mode Mode, fn func(b *Batch)) {
	t.Helper()
	b := db.NewBatch()
	defer b.Close()
	fn(b)
	if err := b.Commit(mode); err != nil {
		t.Fatal(err)
	}
}

func TestLockNamesTheHolder(t *testing.T) {
	if dir := os.Getenv("STORAGE_TEST_HOLD"); dir != "" {
		if _, err := Open(dir, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockNamesTheHolder$")
	cmd.Env = append(os.Environ(), "STORAGE_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	_, err = Open(dir, nil)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || locked.Dir != dir {
		t.Fatalf("%v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed: an error by design
	db := openTest(t, dir, nil)
	if _, err := Open(dir, nil); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("%v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	db := openTest(t, "s", &Options{FS: fs})
	if err := db.pebble.Set(formatKey, []byte{formatVersion + 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("s", &Options{FS: fs}); !errors.Is(err, ErrNewerFormat) {
		t.Fatal(err)
	}
}

func TestStoreRecords(t *testing.T) {
	fs := vfs.NewMem()
	db := openTest(t, "s", &Options{FS: fs})
	if _, err := db.Seed(); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	a1, a2 := Alias{Name: "x"}, Alias{Namespace: [32]byte{1}, Name: "y"}
	commit(t, db, Durable, func(b *Batch) {
		b.SetSeed([32]byte{9})
		b.SetStoreUserData("k", []byte("v"))
		b.SetAlias(a2, dkOf(2))
		b.SetAlias(a1, dkOf(1))
	})
	db.Close()
	db = openTest(t, "s", &Options{FS: fs})
	if s, err := db.Seed(); err != nil || s != [32]byte{9} {
		t.Fatal(s, err)
	}
	if v, err := db.UserData("k"); err != nil || string(v) != "v" {
		t.Fatal(v, err)
	}
	if dk, err := db.Alias(a2); err != nil || dk != dkOf(2) {
		t.Fatal(dk, err)
	}
	var got []AliasEntry
	for e, err := range db.Aliases() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if len(got) != 2 || got[0].Alias != a1 || got[1].DiscoveryKey != dkOf(2) {
		t.Fatal(got)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.DeleteAlias(a1); b.SetStoreUserData("k", nil) })
	if _, err := db.Alias(a1); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := db.UserData("k"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestCoreDirectory(t *testing.T) {
	db := openTest(t, "s", &Options{FS: vfs.NewMem()})
	b := db.NewBatch()
	defer b.Close()
	c, err := db.CreateCore(b, dkOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateCore(b, dkOf(1)); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	b.SetAuth(c, Auth{Key: hypercrypto.Key{1}, Manifest: []byte("m"), Secret: bytes.Repeat([]byte{2}, 64)})
	if _, err := db.Core(dkOf(1)); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if err := b.Commit(Relaxed); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateCore(b, dkOf(1)); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	got, err := db.Core(dkOf(1))
	if err != nil || got != c {
		t.Fatal(got, err)
	}
	if a, err := c.Auth(); err != nil || a.Key != (hypercrypto.Key{1}) || string(a.Manifest) != "m" || len(a.Secret) != 64 {
		t.Fatal(a, err)
	}
	for i := 2; i < 600; i++ {
		createTest(t, db, i)
	}
	n := 0
	for c, err := range db.Cores() {
		if err != nil || c == nil {
			t.Fatal(err)
		}
		n++
	}
	st, err := db.Stats()
	if n != 599 || err != nil || st.Cores != 599 || st.Database == 0 {
		t.Fatal(n, st, err)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.DeleteCore(c) })
	b2 := db.NewBatch()
	b2.SetHead(c, Head{Length: 1})
	if err := b2.Commit(Relaxed); !errors.Is(err, ErrDeleted) {
		t.Fatal(err)
	}
	if _, err := c.Auth(); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestBranches(t *testing.T) {
	fs := vfs.NewMem()
	db := openTest(t, "s", &Options{FS: fs})
	c := createTest(t, db, 1)
	b := db.NewBatch()
	br, err := db.CreateBranch(b, c, "draft", 7)
	if err != nil {
		t.Fatal(err)
	}
	b.PutBlock(br, 7, []byte("seven"))
	if err := b.Commit(Durable); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateBranch(b, c, "draft", 7); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	db.Close()
	db = openTest(t, "s", &Options{FS: fs})
	if c, err = db.Core(dkOf(1)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Branch("draft")
	if err != nil || got.Length != 7 {
		t.Fatal(got, err)
	}
	if data, err := got.Core.Block(7, nil); err != nil || string(data) != "seven" {
		t.Fatal(data, err)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.SetBranchLength(got.Core, 5) })
	p, n, err := got.Core.Parent()
	if err != nil || p != c || n != 5 {
		t.Fatal(p, n, err)
	}
	if _, _, err := c.Parent(); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if all, err := c.Branches(); err != nil || len(all) != 1 || all[0].Name != "draft" {
		t.Fatal(all, err)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.DeleteCore(c) })
	if _, err := got.Core.Block(7, nil); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

// TestSpaceOfRemovedBlocksComesBack looks at what the file system has given out.
func TestSpaceOfRemovedBlocksComesBack(t *testing.T) {
	dir := t.TempDir()
	db := openTest(t, dir, &Options{SegmentSize: 8 << 20})
	c, other := createTest(t, db, 1), createTest(t, db, 2)
	data := testBlock(1, 64<<10)
	const n = 400
	for i := uint64(0); i < n; i += 10 {
		commit(t, db, Relaxed, func(b *Batch) {
			for k := range uint64(10) {
				b.PutBlock(c, i+k, data)
			}
			b.PutBlock(other, i, data)
		})
	}
	settle := func() int64 {
		t.Helper()
		if err := db.reclaim.work(); err != nil {
			t.Fatal(err)
		}
		return allocated(t, filepath.Join(dir, "segments"))
	}
	full := settle()
	s, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.ClearBlocks(c, 100, 300) })
	if got := settle(); got < full-1<<20 {
		t.Fatalf("%d of %d bytes left while a snapshot needs them", got, full)
	}
	if got, err := s.Block(200, nil); err != nil || !bytes.Equal(got, data) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := settle(); got > full*6/10 {
		t.Fatalf("%d of %d bytes left after clearing half", got, full)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.DeleteCore(c); b.DeleteCore(other) })
	if got := settle(); got > 9<<20 {
		t.Fatalf("%d of %d bytes left after deleting all", got, full)
	}
	if err := checkAll(db); err != nil {
		t.Fatal(err)
	}
}

func allocated(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var st unix.Stat_t
		if err := unix.Stat(f, &st); err != nil {
			t.Fatal(err)
		}
		n += st.Blocks * 512
	}
	return n
}

// TestReadersSeeWholeCommits runs readers against a writer: blocks and nodes
// below a length that was seen are there, and snapshots do not change.
func TestReadersSeeWholeCommits(t *testing.T) {
	db := openTest(t, t.TempDir(), &Options{SegmentSize: 1 << 20})
	c := createTest(t, db, 1)
	const rounds = 150
	size := func(i uint64) int { return []int{40, 2500}[i%2] }
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-done:
					return
				default:
				}
				s, err := c.Snapshot()
				if err != nil {
					t.Error(err)
					return
				}
				h, err := s.Head()
				if err != nil {
					t.Error(err)
				}
				for _, i := range []uint64{0, h.Length / 2, h.Length - 1, h.Length} {
					if i >= h.Length {
						if _, err := s.Block(h.Length, nil); !errors.Is(err, ErrNotFound) {
							t.Errorf("snapshot of length %d has block %d: %v", h.Length, h.Length, err)
						}
						continue
					}
					got, err := s.Block(i, nil)
					if err != nil || !bytes.Equal(got, testBlock(i+h.Fork, size(i))) {
						t.Errorf("snapshot of length %d, fork %d: block %d: %v", h.Length, h.Fork, i, err)
					}
					if n, err := s.Node(2 * i); err != nil || n.Size != h.Fork {
						t.Errorf("snapshot of fork %d: node %d: %v %v", h.Fork, 2*i, n, err)
					}
				}
				if n := c.Head().Contiguous; n > 0 && !c.Has(0, 1) {
					t.Error("contiguous but not held")
				}
				s.Close()
			}
		}()
	}
	for r := range uint64(rounds) {
		n := 10 + r%60
		commit(t, db, Mode(r%10/9), func(b *Batch) {
			b.TruncateBlocks(c, 0)
			b.TruncateNodes(c, 0)
			for i := range n {
				b.PutBlock(c, i, testBlock(i+r, size(i)))
				b.PutNode(c, merkle.Node{Index: 2 * i, Size: r})
			}
			b.SetHead(c, Head{Length: n, Fork: r})
		})
	}
	close(done)
	wg.Wait()
}

func TestUseAfterClose(t *testing.T) {
	db := openTest(t, "s", &Options{FS: vfs.NewMem()})
	c := createTest(t, db, 1)
	s, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b := db.NewBatch()
	b.SetHead(c, Head{Length: 1})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	errs := map[string]error{"commit": b.Commit(Relaxed), "flush": db.Flush()}
	_, errs["block"] = c.Block(0, nil)
	_, errs["snapshot block"] = s.Block(0, nil)
	_, errs["snapshot"] = c.Snapshot()
	_, errs["core"] = db.Core(dkOf(1))
	_, errs["seed"] = db.Seed()
	_, errs["stats"] = db.Stats()
	_, errs["size"] = c.Size()
	for what, err := range errs {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestManyCommittersShareSyncs(t *testing.T) {
	db := openTest(t, t.TempDir(), nil)
	var wg sync.WaitGroup
	for k := range 8 {
		c := createTest(t, db, k)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range uint64(20) {
				b := db.NewBatch()
				b.PutBlock(c, i, testBlock(i, 3000))
				b.SetHead(c, Head{Length: i + 1})
				if err := b.Commit(Durable); err != nil {
					t.Error(err)
				}
				b.Close()
			}
		}()
	}
	wg.Wait()
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	for k := range 8 {
		c, err := db.Core(dkOf(k))
		if err != nil || c.Head().Contiguous != 20 {
			t.Fatal(err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	db := openTest(t, "s", &Options{FS: vfs.NewMem()})
	c := createTest(t, db, 1)
	for _, fn := range []func(b *Batch){
		func(b *Batch) { b.PutBlock(c, MaxIndex+1, nil) },
		func(b *Batch) { b.PutNode(c, merkle.Node{Index: 2*MaxIndex + 1}) },
	} {
		b := db.NewBatch()
		fn(b)
		if err := b.Commit(Relaxed); !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		b.Close()
	}
	commit(t, db, Relaxed, func(b *Batch) {
		b.PutBlock(c, MaxIndex, []byte("last"))
		b.PutNode(c, merkle.Node{Index: 2 * MaxIndex, Size: 4})
		b.PutNode(c, merkle.Node{Index: 1<<52 - 1, Size: 5})
	})
	if got, err := c.Block(MaxIndex, nil); err != nil || string(got) != "last" {
		t.Fatal(err)
	}
	for _, x := range []uint64{2 * MaxIndex, 1<<52 - 1} {
		if _, err := c.Node(x); err != nil {
			t.Fatal(err)
		}
	}
	if i, ok := c.NextHeld(0); !ok || i != MaxIndex {
		t.Fatal(i, ok)
	}
	commit(t, db, Relaxed, func(b *Batch) { b.TruncateBlocks(c, 1); b.TruncateNodes(c, 1) })
	if _, ok := c.NextHeld(0); ok {
		t.Fatal("held after truncation")
	}
	if _, err := c.Node(1<<52 - 1); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}
