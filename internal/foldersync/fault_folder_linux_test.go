package foldersync

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// immutable is the attribute of files and folders that nobody can change.
const immutable = 0x10

// freeze makes a file or folder one that cannot be changed by anybody, until the result is
// called.
func freeze(t testing.TB, name string) (thaw func()) {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	set := func(f *os.File, on bool) error {
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil {
			return err
		}
		flags &^= immutable
		if on {
			flags |= immutable
		}
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	if err := set(f, true); err != nil {
		t.Fatalf("make %s immutable (the test needs to be root): %v", name, err)
	}
	frozen := true
	thaw = func() {
		if !frozen {
			return
		}
		frozen = false
		f, err := os.Open(name)
		must(t, err)
		must(t, set(f, false), f.Close())
	}
	t.Cleanup(thaw)
	return thaw
}

// The disk of the folder has room for ever less of what the tree has. What is there is what was
// there or what is to be there, never a part of it, and with room all comes.
func TestFolderOnADiskOfAnySize(t *testing.T) {
	refused := 0
	for room := 0; room <= 320; room += 4 {
		tree := newMemTree()
		b := newBox(t, tree, nil)
		smallDisk(t, b.root, "4m")
		text := func(what string, i int) string { return strings.Repeat(fmt.Sprintf("%s %d ", what, i), (i+1)*700) }
		old := map[string]string{}
		for i := range 4 {
			p := fmt.Sprintf("d%d/f", i)
			old[p] = text("old", i)
			b.write(p, old[p])
		}
		b.once()
		var s unix.Statfs_t
		must(t, unix.Statfs(b.root, &s))
		used := (s.Blocks - s.Bfree) * uint64(s.Bsize) >> 10
		resize := func(kib uint64) {
			must(t, syscall.Mount("tmpfs", b.root, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dk", kib)))
		}
		resize(used + uint64(room))
		for i := range 4 {
			tree.put(fmt.Sprintf("d%d/f", i), text("new", i))
			tree.put(fmt.Sprintf("more/%d/f", i), text("more", i))
		}
		err := b.Once(t.Context())
		if err != nil {
			refused++
			if !isFull(err) || b.Status().State != StateFull || len(b.Status().Hints) == 0 {
				t.Fatalf("room for %d: %v, %+v", room, err, b.Status())
			}
		}
		want := tree.texts()
		for p, got := range b.texts() {
			if got != want[p] && got != old[p] {
				t.Errorf("room for %d: %s has %d bytes, %d of the tree", room, p, len(got), len(want[p]))
			}
		}
		for p := range old {
			if _, ok := b.texts()[p]; !ok {
				t.Errorf("room for %d: %s is lost", room, p)
			}
		}
		if left := b.temporaries(); len(left) > 0 {
			t.Errorf("room for %d: %q stay", room, left)
		}
		resize(4 << 10)
		b.once()
		wantEqual(t, "folder", b.texts(), want)
		wantEqual(t, "tree", tree.texts(), want)
		b.idx.abandon()
		must(t, syscall.Unmount(b.root, 0))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d times it was full", refused)
}

// In one folder nothing can be made, renamed or removed any more, from any moment of a sync
// on; then it can. All else goes on meanwhile, nothing is lost, and no temporary file stays.
func TestAFolderThatCannotBeChangedFromSomeMomentOn(t *testing.T) {
	for _, dir := range []string{".", "d0", "d1"} {
		n := 0
		for ; !frozenAt(t, dir, n); n++ {
			if t.Failed() {
				t.Fatalf("%s, at step %d", dir, n)
			}
		}
		t.Logf("%s: %d moments", dir, n)
	}
}

func frozenAt(t *testing.T, dir string, n int) (done bool) {
	tree := newMemTree()
	b := fastBox(t, tree, "16m")
	for i := range 6 {
		b.write(fmt.Sprintf("d%d/f%d", i%2, i), fmt.Sprint("old ", i))
	}
	b.once()
	tree.put("d0/f0", "new 0")
	tree.put("d1/f1", strings.Repeat("new 1 ", 60_000))
	tree.put("d0/more", "more")
	tree.put("d1/below/more", "more below")
	tree.delete("d0/f2")
	tree.delete("d1/f3")
	b.write("d0/f4", "an edit")
	b.write("d1/mine", "mine")
	before := b.contents()
	thaw, steps := func() {}, 0
	tree.fail = func(op, path string) error {
		if steps++; steps == n+1 {
			thaw = freeze(t, b.path(dir))
		}
		return nil
	}
	if err := b.Once(t.Context()); err != nil {
		t.Errorf("it does not go on: %v", err)
	}
	done = steps <= n
	tree.fail = nil
	other := map[string]map[string]string{
		"d0": {"d1/f1": strings.Repeat("new 1 ", 60_000), "d1/below/more": "more below"},
		"d1": {"d0/f0": "new 0", "d0/more": "more"},
	}[dir]
	got := b.texts()
	for p, text := range other {
		if got[p] != text {
			t.Errorf("%s has not come", p)
		}
	}
	if tree.texts()["d0/f4"] != "an edit" || tree.texts()["d1/mine"] != "mine" {
		t.Errorf("what can be read was not sent")
	}
	for text := range b.contents() {
		if !before[text] && !strings.HasPrefix(text, "new") && !strings.HasPrefix(text, "more") {
			t.Errorf("%.20q is a part of something", text)
		}
	}
	thaw()
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
	for range 2 { // a rescan sweeps what could not be removed
		b.once()
	}
	if left := b.temporaries(); len(left) > 0 {
		t.Errorf("%q stay", left)
	}
	if p := b.Status().Problems; len(p) > 0 {
		t.Errorf("%+v", p)
	}
	return done
}

// One file cannot be read, one cannot be replaced, one cannot be removed. Others go on; the
// three are reported, and tried again.
func TestSingleFilesThatTheDiskRefuses(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	for _, p := range []string{"unreadable", "stays", "goes", "mode", "other/a", "other/b"} {
		b.write(p, "old "+p)
	}
	b.once()
	b.write("unreadable", "an edit that cannot be read")
	b.write("other/a", "an edit")
	if err := syscall.Mount("/sys/class/net/lo/speed", b.path("unreadable"), "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount a file that cannot be read (the test needs to be root): %v", err)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			_ = syscall.Unmount(b.path("unreadable"), syscall.MNT_DETACH)
		}
	})
	thaw := []func(){freeze(t, b.path("stays")), freeze(t, b.path("goes"))}
	tree.put("stays", "new")
	tree.delete("goes")
	tree.put("other/b", "new")
	for range 2 {
		b.once()
		got := b.texts()
		if got["stays"] != "old stays" || got["goes"] != "old goes" {
			t.Errorf("%q", got)
		}
		if got["other/b"] != "new" || tree.texts()["other/a"] != "an edit" {
			t.Error("others do not go on")
		}
		if tree.texts()["unreadable"] != "old unreadable" {
			t.Errorf("the tree has %q", tree.texts()["unreadable"])
		}
		for _, p := range []string{"unreadable", "stays", "goes"} {
			if b.problem(p) == "" {
				t.Errorf("no problem with %s", p)
			}
		}
		if left := b.temporaries(); len(left) > 0 {
			t.Errorf("%q stay", left)
		}
	}
	must(t, syscall.Unmount(b.path("unreadable"), 0))
	mounted = false
	for _, f := range thaw {
		f()
	}
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
	if got := b.texts(); got["stays"] != "new" || got["goes"] != "" || got["unreadable"] != "an edit that cannot be read" {
		t.Errorf("%q", got)
	}
	if p := b.Status().Problems; len(p) > 0 {
		t.Errorf("%+v", p)
	}
}

// limited runs a test in a process of its own, in which it returns true: limits of a process
// hold for the record that go test keeps of it, too.
func limited(t *testing.T) bool {
	t.Helper()
	const inside = "CLOUDPAL_TEST_LIMITED"
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// The disk takes no file above some size, and refuses in the midst of it.
func TestFilesThatTheDiskRefusesInTheirMidst(t *testing.T) {
	if !limited(t) {
		return
	}
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("replaced", "old")
	b.once()
	large := strings.Repeat("x", 500_000)
	tree.put("a", "small")
	tree.put("large", large)
	tree.put("replaced", large+"y")
	tree.put("z", "small too")
	var before syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 200_000, Max: before.Max}))
	err := b.Once(t.Context())
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
	must(t, err)
	wantEqual(t, "folder", b.texts(), map[string]string{"a": "small", "replaced": "old", "z": "small too"})
	if b.problem("large") == "" || b.problem("replaced") == "" || len(b.temporaries()) > 0 {
		t.Errorf("%+v, %q", b.Status().Problems, b.temporaries())
	}
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
}

// The disk becomes one that can only be read. Nothing is lost, what changed in the tree
// waits, and comes when it can be written again.
func TestADiskThatCanOnlyBeRead(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	smallDisk(t, b.root, "4m")
	b.write("a", "old")
	b.write("dir/gone", "old too")
	b.once()
	b.write("b", "mine")
	tree.put("a", "new")
	tree.put("c/d", "new too")
	tree.delete("dir/gone")
	must(t, syscall.Mount("tmpfs", b.root, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=4m"))
	for range 2 {
		if err := b.Once(t.Context()); err != nil && !errors.Is(err, syscall.EROFS) {
			t.Errorf("it says %v", err)
		}
		if got := b.texts(); got["a"] != "old" || got["dir/gone"] != "old too" || tree.texts()["b"] != "mine" {
			t.Errorf("%q, %q", got, tree.texts())
		}
	}
	if b.problem("a") == "" || b.problem("c/d") == "" {
		t.Errorf("%+v", b.Status().Problems)
	}
	must(t, syscall.Mount("tmpfs", b.root, "tmpfs", syscall.MS_REMOUNT, "size=4m"))
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
	if p := b.Status().Problems; len(p) > 0 {
		t.Errorf("%+v", p)
	}
}
