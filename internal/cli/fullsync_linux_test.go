package cli

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// fillUp fills a disk but for some bytes, and returns what frees it.
func fillUp(t *testing.T, dir string, left uint64) (free func()) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "filler")
	if err := os.WriteFile(name, make([]byte, s.Bavail*uint64(s.Bsize)-left), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
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
func awaitFull(k *killed) {
	k.t.Helper()
	c := k.client()
	defer c.Close()
	for until := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
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

	free := fillUp(t, folders, large/2)
	writeTestFile(t, filepath.Join(a.dir, "second"), randomBytes(2, large))
	awaitFull(b)
	writeTestFile(t, filepath.Join(b.dir, "small"), []byte("still sent"))
	awaitFile(t, filepath.Join(a.dir, "small"), "still sent")
	free()
	awaitEqual(t, a, b)

	free = fillUp(t, homes, large/2)
	writeTestFile(t, filepath.Join(b.dir, "third"), randomBytes(3, large))
	awaitFull(b)
	free()
	awaitEqual(t, a, b)

	free = fillUp(t, homes, large/2)
	writeTestFile(t, filepath.Join(a.dir, "fourth"), randomBytes(4, large))
	awaitFull(b)
	free()
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
