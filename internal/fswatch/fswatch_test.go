package fswatch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func newWatcher(t *testing.T) *Watcher {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// write makes and removes n files.
func write(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsComeInOrder(t *testing.T) {
	dir := t.TempDir()
	w := newWatcher(t)
	if err := w.Add(dir); err != nil {
		t.Fatal(err)
	}
	const n = 50
	write(t, dir, n)
	late := time.After(time.Minute)
	for i := 0; i < n; {
		select {
		case e := <-w.Events():
			if e.Has(fsnotify.Create) {
				if want := filepath.Join(dir, fmt.Sprint(i)); e.Name != want {
					t.Fatalf("told of %s, want %s", e.Name, want)
				}
				i++
			}
		case <-late:
			t.Fatalf("told of %d files of %d", i, n)
		}
	}
	select {
	case <-w.Lost():
		t.Error("something is said to be lost")
	default:
	}
}

func TestWhatNobodyReadsIsLost(t *testing.T) {
	dir := t.TempDir()
	w := newWatcher(t)
	if err := w.Add(dir); err != nil {
		t.Fatal(err)
	}
	write(t, dir, unread/2+1) // at least two events each
	select {
	case <-w.Lost():
	case <-time.After(time.Minute):
		t.Error("nothing is said to be lost")
	}
}

// A folder that is moved and removed before its move was looked at makes the library
// report an error, with its lock held: whoever adds or removes next waits until it is
// read.
func TestAddAndRemoveWaitForNobody(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("of inotify")
	}
	dir := t.TempDir()
	w := newWatcher(t)
	if err := w.Add(dir); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			a, b := filepath.Join(dir, fmt.Sprint("a", i)), filepath.Join(dir, fmt.Sprint("b", i))
			if err := os.Mkdir(a, 0o700); err != nil {
				t.Error(err)
			}
			if err := w.Add(a); err != nil {
				t.Error(err)
			}
			write(t, dir, 20) // keeps the reader busy
			if err := os.Rename(a, b); err != nil {
				t.Error(err)
			}
			if err := os.Remove(b); err != nil {
				t.Error(err)
			}
			w.Remove(a)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("the watcher hangs")
	}
}

func TestCloseEndsTheEvents(t *testing.T) {
	w := newWatcher(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range w.Events() {
	}
	if err := w.Add(t.TempDir()); err == nil {
		t.Error("a closed watcher watches")
	}
}
