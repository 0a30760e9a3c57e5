package foldersync

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tradle/cloudpal/internal/digest"
	"github.com/tradle/cloudpal/internal/fault"
)

// fastBox is a box on a disk in memory, on which syncing takes no time.
func fastBox(t testing.TB, tree *memTree, size string) *box {
	t.Helper()
	dir := t.TempDir()
	smallDisk(t, dir, size)
	b := &box{t: t, tree: tree, root: filepath.Join(dir, "folder"), dir: filepath.Join(dir, "state")}
	must(t, os.MkdirAll(b.root, 0o755))
	b.open()
	t.Cleanup(func() { b.idx.abandon() })
	return b
}

// unreadable opens a file of which nothing can be read or written: EIO.
func unreadable(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	must(t, err)
	return f
}

// cover puts a read-only disk over a folder, so that nothing can be made there, until the
// result is called.
func cover(t testing.TB, dir string) (uncover func()) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "size=64k"); err != nil {
		t.Fatalf("mount a disk (the test needs to be root): %v", err)
	}
	gone := false
	uncover = func() {
		if !gone {
			gone = true
			must(t, syscall.Unmount(dir, syscall.MNT_DETACH))
		}
	}
	t.Cleanup(uncover)
	return uncover
}

// indexFaults are ways in which the disk of an index fails. Each returns how it is mended.
var indexFaults = map[string]func(b *box) (mend func()){
	"writes fail": func(b *box) func() {
		b.idx.mu.Lock()
		defer b.idx.mu.Unlock()
		_ = b.idx.journal.Close()
		b.idx.journal = unreadable(b.t)
		return func() {}
	},
	"writes fail, and no new index can be made": func(b *box) func() {
		b.idx.mu.Lock()
		defer b.idx.mu.Unlock()
		_ = b.idx.journal.Close()
		b.idx.journal = unreadable(b.t)
		return cover(b.t, b.dir)
	},
	"syncs fail": func(b *box) func() {
		b.idx.mu.Lock()
		defer b.idx.mu.Unlock()
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // which cannot be synced
		must(b.t, err)
		_ = b.idx.journal.Close()
		b.idx.journal = null
		return func() {}
	},
	"reads fail": func(b *box) func() {
		b.idx.mu.Lock()
		defer b.idx.mu.Unlock()
		if b.idx.table == nil {
			return func() {}
		}
		b.idx.cached, b.idx.cache = -1, nil
		good := b.idx.table.f
		b.idx.table.f = unreadable(b.t)
		return func() {
			b.idx.mu.Lock()
			defer b.idx.mu.Unlock()
			_ = b.idx.table.f.Close()
			b.idx.table.f = good
		}
	},
}

// The disk of the index fails at any moment of a sync, both ways. What was in the folder or
// the tree is there afterwards, and once the disk is a good one again both are equal, also
// after a crash.
func TestIndexOnAFailingDisk(t *testing.T) {
	total := 0
	for name, fail := range indexFaults {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, crash %v", name, crash), func(t *testing.T) {
				n := 0
				for !failIndex(t, n, crash, fail) {
					if n++; t.Failed() {
						t.Fatalf("at step %d", n-1)
					}
				}
				total += n
			})
		}
	}
	t.Logf("%d failures", total)
}

func failIndex(t *testing.T, n int, crash bool, fail func(b *box) func()) (done bool) {
	tree := newMemTree()
	b := fastBox(t, tree, "64m")
	for i := range 150 {
		b.write(fmt.Sprintf("d%d/f%d", i%7, i), fmt.Sprint("old ", i))
	}
	b.once()
	b.idx.mu.Lock()
	must(t, b.idx.mergeLocked())
	b.idx.mu.Unlock()
	// Both sides change.
	b.write("d0/f0", "edited on disk")
	b.write("new/on disk", "new on disk")
	b.write("large", strings.Repeat("large ", 50_000))
	must(t, os.Remove(b.path("d1/f1")), os.Rename(b.path("d2"), b.path("renamed")))
	tree.put("d3/f3", "edited in the tree")
	tree.put("more/in the tree", "new in the tree")
	tree.delete("d4/f4")
	before := b.contents()

	mend, steps := func() {}, 0
	failed := false
	tree.fail = func(op, path string) error {
		if steps++; steps == n+1 {
			failed = true
			mend = fail(b)
		}
		return nil
	}
	err := b.Once(t.Context())
	tree.fail = nil
	if err != nil && fault.KindOf(err) != fault.Disk && fault.KindOf(err) != fault.Permission && !errors.Is(err, syscall.EINVAL) {
		t.Errorf("it says %q: %v", fault.KindOf(err), err)
	}
	mend()
	if crash {
		b.restart()
	}
	for range 2 {
		b.once()
	}
	wantEqual(t, "folder", b.texts(), tree.texts())
	for text := range before {
		if _, known := tree.contents[digest.Sum([]byte(text))]; !known {
			t.Errorf("%.20q is lost", text)
		}
	}
	want := map[string]string{"d0/f0": "edited on disk", "new/on disk": "new on disk", "d3/f3": "edited in the tree", "more/in the tree": "new in the tree", "renamed/f2": "old 2"}
	got := b.texts()
	for p, text := range want {
		if got[p] != text {
			t.Errorf("%s is %.30q, want %q", p, got[p], text)
		}
	}
	for _, p := range []string{"d1/f1", "d4/f4", "d2/f2"} {
		if _, ok := got[p]; ok {
			t.Errorf("%s is back", p)
		}
	}
	for p := range got {
		if strings.Contains(p, "conflict") || strings.Contains(p, "recovered") || isOurs(filepath.Base(p)) {
			t.Errorf("there is %s", p)
		}
	}
	return !failed
}

// Any byte of an index is wrong, or it ends anywhere. It is opened, or made anew, and nothing
// that the folder and the tree have is lost or comes back.
func TestIndexWithDamageAnywhere(t *testing.T) {
	tree := newMemTree()
	b := fastBox(t, tree, "64m")
	for i := range 100 {
		b.write(fmt.Sprintf("d%d/f%d", i%3, i), fmt.Sprint(i))
	}
	b.once()
	b.idx.mu.Lock()
	must(t, b.idx.mergeLocked())
	b.idx.mu.Unlock()
	b.write("d0/f0", "edited")
	must(t, os.Remove(b.path("d1/f1")), os.Rename(b.path("d0/f3"), b.path("moved")))
	tree.put("more/x", "from the tree")
	tree.delete("d2/f2")
	b.once()
	b.idx.abandon()
	want := b.texts()
	wantEqual(t, "tree", tree.texts(), want)
	good := map[string][]byte{}
	for _, name := range []string{b.idx.tableName(b.idx.gen), b.idx.journalName(b.idx.gen)} {
		data, err := os.ReadFile(name)
		must(t, err)
		good[name] = data
	}
	step := 41
	if testing.Short() {
		step = 401
	}
	tried := 0
	for name, data := range good {
		for at := 0; at < len(data); at += step {
			for what, bad := range map[string][]byte{"cut": data[:at], "flipped": flipped(data, at)} {
				for name, data := range good {
					must(t, os.WriteFile(name, data, 0o600))
				}
				must(t, os.WriteFile(name, bad, 0o600))
				b.open()
				b.once()
				tried++
				if got := b.texts(); !maps.Equal(got, want) || !maps.Equal(tree.texts(), want) {
					t.Errorf("%s %s at %d of %d", filepath.Base(name), what, at, len(data))
					wantEqual(t, "folder", got, want)
					wantEqual(t, "tree", tree.texts(), want)
					t.FailNow()
				}
				b.idx.abandon()
				must(t, removeIndex(b.dir))
			}
		}
	}
	t.Logf("%d damages", tried)
}

func flipped(data []byte, at int) []byte {
	bad := append([]byte(nil), data...)
	bad[at] ^= 1 << (at % 8)
	return bad
}
