package cli

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// filler takes what is free on a disk but for some bytes, also what others free meanwhile.
type filler struct {
	t    *testing.T
	dir  string
	left uint64
	f    *os.File
}

func fillUp(t *testing.T, dir string, left uint64) *filler {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	x := &filler{t, dir, left, f}
	x.more()
	return x
}

func (x *filler) more() {
	x.t.Helper()
	for piece := make([]byte, 64<<10); ; {
		var s syscall.Statfs_t
		if err := syscall.Statfs(x.dir, &s); err != nil {
			x.t.Fatal(err)
		}
		if s.Bavail*uint64(s.Bsize) < x.left+uint64(len(piece)) {
			return
		}
		if _, err := x.f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			return // somebody else wrote, too
		} else if err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *filler) free() {
	x.t.Helper()
	if err := errors.Join(x.f.Close(), os.Remove(x.f.Name())); err != nil {
		x.t.Fatal(err)
	}
}

func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a small disk (the test needs to be root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// awaitFull waits until a folder says that it waits for space.
func awaitFull(k *killed, full *filler) {
	k.t.Helper()
	c := k.client()
	defer c.Close()
	for until := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
		full.more()
		v, err := k.folder(c)
		if err == nil && v.State == "full" && v.Reason != "" && len(v.Hints) > 0 {
			k.t.Logf("%s: %s", v.State, v.Reason)
			return
		}
		if time.Now().After(until) {
			k.t.Fatalf("it does not say that the disk is full: %+v, %v\n%s", v, err, k.goroutines())
		}
	}
}

// A folder on a full disk, or one of a node whose data folder is on one, waits, says so
// and goes on when there is space. Nothing is damaged.
func TestFolderWaitsForSpace(t *testing.T) {
	t.Setenv("CLOUDPAL_BOOTSTRAP", "none")
	t.Setenv("CLOUDPAL_LAN", "none")
	const large = 8 << 20
	homes, folders := smallDisk(t, "96m"), smallDisk(t, "64m")
	a, b := newKilledPair(t, homes, folders)
	writeTestFile(t, filepath.Join(a.dir, "first"), randomBytes(1, 1<<20))
	awaitEqual(t, a, b)

	full := fillUp(t, folders, large/2)
	writeTestFile(t, filepath.Join(a.dir, "second"), randomBytes(2, large))
	awaitFull(b, full)
	writeTestFile(t, filepath.Join(b.dir, "small"), []byte("still sent"))
	awaitFile(t, filepath.Join(a.dir, "small"), "still sent")
	full.free()
	awaitEqual(t, a, b)

	full = fillUp(t, homes, large/2)
	writeTestFile(t, filepath.Join(b.dir, "third"), randomBytes(3, large))
	awaitFull(b, full)
	full.free()
	awaitEqual(t, a, b)

	full = fillUp(t, homes, large/2)
	writeTestFile(t, filepath.Join(a.dir, "fourth"), randomBytes(4, large))
	awaitFull(b, full)
	full.free()
	awaitEqual(t, a, b)
	a.healthy()
	b.healthy()
}

func awaitFile(t *testing.T, path, want string) {
	t.Helper()
	for until := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		got, err := os.ReadFile(path)
		if err == nil && string(got) == want {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%s has %q: %v", path, got, err)
		}
	}
}
