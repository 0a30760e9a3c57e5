package foldersync

import (
	"errors"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestOtherDisksAreNotEntered(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	smallDisk(t, b.path("mounted"), "1m")
	// Another disk in the folder is not crossed, neither way.
	must(t, os.WriteFile(b.path("mounted/x"), []byte("x"), 0o644))
	tree.put("mounted/y", "y")
	b.once()
	if got := tree.texts(); got["mounted/x"] != "" || len(got) != 2 {
		t.Errorf("%q", got)
	}
	if _, err := os.Lstat(b.path("mounted/y")); err == nil {
		t.Error("written to another disk")
	}
	if !strings.Contains(b.problem("mounted"), "another disk") {
		t.Errorf("%+v", b.Status().Problems)
	}
	must(t, syscall.Unmount(b.path("mounted"), 0))
	b.once()
	wantEqual(t, "folder", b.texts(), map[string]string{"mounted/": "", "mounted/y": "y"})
	if p := b.Status().Problems; len(p) > 0 {
		t.Errorf("%+v", p)
	}
}

// smallDisk mounts a disk of its own on a folder that it makes.
func smallDisk(t testing.TB, dir, size string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a small disk (the test needs to be root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // it may have been unmounted
}

// The disk of a folder can be unmounted while the folder is kept in sync. Nothing is deleted by
// that, and when it is mounted again all goes on, though it is the same disk as before.
func TestADiskThatIsUnmountedAndMountedAgain(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	disk := b.root + ".disk"
	smallDisk(t, disk, "1m")
	mount := func() { must(t, syscall.Mount(disk, b.root, "", syscall.MS_BIND, "")) }
	mount()
	t.Cleanup(func() { _ = syscall.Unmount(b.root, syscall.MNT_DETACH) })
	b.write("d/x", "1")
	live(t, b)
	eventually(t, "the start", b.has("d/x", "1"))
	eventually(t, "it is unmounted", func() bool { return syscall.Unmount(b.root, 0) == nil })
	b.dirty.add("") // the look at everything, which comes sooner or later
	eventually(t, "it asks", func() bool { return b.Status().State == StateAsking })
	tree.put("y", "2")
	mount()
	// What the system does when the disk itself goes: the watches end, and nothing tells.
	w := b.watch.Load()
	for _, name := range []string{"", "d"} {
		w.w.Remove(b.path(name))
	}
	eventually(t, "what came meanwhile", b.reads("y", "2"))
	w.checkRoot()
	eventually(t, "it is watched again", func() bool { return w.w.Watches(b.path("d")) })
	b.write("d/x", "3")
	eventually(t, "a change", b.has("d/x", "3"))
	if len(tree.texts()) != 3 {
		t.Errorf("%q", tree.texts())
	}
}

func TestFullDiskWaits(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	smallDisk(t, b.root, "1m")
	tree.put("a", "small")
	tree.put("large", strings.Repeat("x", 2<<20))
	err := b.Once(t.Context())
	if !errors.Is(err, errFull) || b.Status().State != StateFull {
		t.Fatalf("got %v, %+v", err, b.Status())
	}
	// What is on disk is still sent.
	b.write("b", "mine")
	must(t, b.push(t.Context(), []string{""}))
	if tree.texts()["b"] != "mine" {
		t.Error("not sent")
	}
	tree.put("large", strings.Repeat("x", 200_000))
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
}

func TestFloorOfFreeSpace(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, &Options{MinFree: 600 << 10})
	smallDisk(t, b.root, "1m")
	tree.put("large", strings.Repeat("x", 500_000))
	if err := b.Once(t.Context()); !errors.Is(err, errFull) {
		t.Fatalf("got %v", err)
	}
	if got := b.texts(); len(got) > 0 {
		t.Errorf("%q", slicesOf(got))
	}
	tree.put("large", strings.Repeat("x", 100_000))
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
}

func slicesOf(m map[string]string) (names []string) {
	for p := range maps.Keys(m) {
		names = append(names, p)
	}
	return names
}

func TestSpecialFilesAreSkippedAndReported(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("a", "1")
	must(t, syscall.Mkfifo(b.path("pipe"), 0o644))
	b.once()
	wantEqual(t, "tree", tree.texts(), map[string]string{"a": "1"})
	if b.problem("pipe") != "a named pipe is not kept in sync" {
		t.Errorf("%+v", b.Status().Problems)
	}
	must(t, os.Remove(b.path("pipe")))
	b.once()
	if p := b.Status().Problems; len(p) > 0 {
		t.Errorf("%+v", p)
	}
}
