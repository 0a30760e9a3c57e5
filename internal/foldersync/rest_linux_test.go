package foldersync

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A folder in which something cannot be kept in sync, or seems to be new for long, is at rest
// all the same.
func TestNothingIsDoneAtRest(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, b *box){
		"a time that is to come": func(t *testing.T, b *box) {
			later := time.Now().Add(time.Hour)
			must(t, os.Chtimes(b.path("x"), later, later))
			eventually(t, "it is sent", func() bool {
				e, _, _ := b.tree.Lookup(t.Context(), "x")
				return e.Modified.Equal(later)
			})
		},
		"a pipe where the tree has a file": func(t *testing.T, b *box) {
			must(t, os.Remove(b.path("x")), unix.Mkfifo(b.path("x"), 0o644))
			eventually(t, "it is reported", func() bool { return b.problem("x") != "" })
			b.tree.put("x", "2")
		},
		"an ignore file that cannot be had": func(t *testing.T, b *box) {
			b.tree.put(IgnoreFile, "*.o\n")
			eventually(t, "it is reported", func() bool { return b.problem(IgnoreFile) != "" })
			b.tree.put("y", "comes all the same")
			eventually(t, "another file", b.reads("y", "comes all the same"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			var lookups atomic.Int64
			tree.fail = func(op, path string) error {
				switch {
				case op == "lookup":
					lookups.Add(1)
				case op == "open" && path == IgnoreFile:
					return syscall.EIO
				}
				return nil
			}
			b := newBox(t, tree, nil)
			b.Folder.step = settleFine
			b.write("x", "1")
			live(t, b)
			eventually(t, "the start", b.has("x", "1"))
			begin(t, b)
			eventually(t, "rest", func() bool {
				before := lookups.Load()
				time.Sleep(time.Second)
				return lookups.Load()-before < 8
			})
		})
	}
}

// A file that is changed in the moment after it was read, so that it looks the same, is read
// once more; one of before the clock was set back is not.
func TestYoungFilesAreReadAgain(t *testing.T) {
	f := newBox(t, newMemTree(), nil)
	f.Folder.step = settleFine
	now := time.Unix(1_700_000_000, 7)
	for _, c := range []struct {
		age, mtime time.Duration // before now
		want       time.Duration
	}{
		{0, 0, settleFine},
		{5 * time.Millisecond, time.Hour, settleFine - 5*time.Millisecond},
		{time.Second + 1, -time.Hour, 0},                    // set by somebody
		{-10 * time.Second, 0, 10*time.Second + settleFine}, // on a machine with another clock
		{-time.Hour, 0, 0},
	} {
		s := stat{ctime: now.Add(-c.age).UnixNano(), mtime: now.Add(-c.mtime).UnixNano()}
		if got := f.young(s, now); got != c.want {
			t.Errorf("%v: %v, want %v", c.age, got, c.want)
		}
	}
}
