package foldersync

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// live runs folders until the test ends.
func live(t testing.TB, boxes ...*box) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, b := range boxes {
		wg.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func (b *box) reads(name, text string) func() bool {
	return func() bool {
		got, err := os.ReadFile(b.path(name))
		return err == nil && string(got) == text
	}
}

func TestLiveChangesAppearOnTheOtherSide(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	a.write("first", "1")
	live(t, a, b)
	eventually(t, "first import", b.reads("first", "1"))
	began := time.Now()
	for i := range 5 {
		text := fmt.Sprint("version ", i)
		must(t, os.WriteFile(a.path("first"), []byte(text), 0o644))
		eventually(t, "an edit", b.reads("first", text))
	}
	t.Logf("%v for an edit", time.Since(began)/5)
	// A new folder is watched, with what is in it when it is found.
	b.write("x/y/z/deep", "deep")
	eventually(t, "a new folder", a.reads("x/y/z/deep", "deep"))
	must(t, os.WriteFile(b.path("x/y/z/more"), []byte("more"), 0o644))
	eventually(t, "a file in a new folder", a.reads("x/y/z/more", "more"))
	// So is one that was renamed.
	must(t, os.Rename(a.path("x"), a.path("renamed")))
	eventually(t, "a renamed folder", b.reads("renamed/y/z/more", "more"))
	must(t, os.WriteFile(a.path("renamed/y/z/deep"), []byte("deeper"), 0o644))
	eventually(t, "an edit in a renamed folder", b.reads("renamed/y/z/deep", "deeper"))
	must(t, os.RemoveAll(b.path("renamed")))
	eventually(t, "a deletion", func() bool { _, err := os.Lstat(a.path("renamed")); return err != nil })
	must(t, os.WriteFile(a.path("temporary.swp~"), []byte("x"), 0o644), os.Rename(a.path("temporary.swp~"), a.path("saved")))
	eventually(t, "a file that an editor saved", b.reads("saved", "x"))
	eventually(t, "idle", func() bool { return a.Status().State == StateIdle && b.Status().State == StateIdle })
	for _, f := range []*box{a, b} {
		if s := f.Status(); len(s.Problems) > 0 || !s.Watching {
			t.Errorf("%+v", s)
		}
	}
	wantEqual(t, "folders", a.texts(), b.texts())
}

// A file that is being written is committed when it is quiet, not before.
func TestFilesThatAreBeingWrittenWait(t *testing.T) {
	tree := newMemTree()
	a := newBox(t, tree, nil)
	live(t, a)
	eventually(t, "idle", func() bool { return !a.Status().LastScan.IsZero() })
	f, err := os.Create(a.path("log"))
	must(t, err)
	var all strings.Builder
	for i := range 200 {
		line := fmt.Sprintln("line", i)
		all.WriteString(line)
		_, err := f.WriteString(line)
		must(t, err)
		time.Sleep(time.Millisecond)
	}
	must(t, f.Close())
	eventually(t, "the whole file", func() bool { return tree.texts()["log"] == all.String() })
	if tree.commits > 5 {
		t.Errorf("%d commits for a file that was never quiet", tree.commits)
	}
}

func TestManyEditsOnBothSidesConverge(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	live(t, a, b)
	var wg sync.WaitGroup
	for n, f := range []*box{a, b} {
		wg.Go(func() {
			for i := range 300 {
				name := f.path(fmt.Sprintf("d%d/f%d", i%3, i%7))
				_ = os.MkdirAll(f.path(fmt.Sprintf("d%d", i%3)), 0o755)
				switch {
				case i%11 == 0:
					_ = os.RemoveAll(f.path(fmt.Sprintf("d%d", i%3)))
				case i%13 == 0:
					_ = os.Rename(f.path(fmt.Sprintf("d%d", i%3)), f.path(fmt.Sprintf("e%d", i%5)))
				default:
					_ = os.WriteFile(name, fmt.Appendf(nil, "%d of folder %d", i, n), 0o644)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	began := time.Now()
	eventually(t, "the folders are equal", func() bool {
		time.Sleep(100 * time.Millisecond)
		want := tree.texts()
		if time.Since(began) > 20*time.Second {
			t.Fatalf("a: %s\nb: %s\n%+v\n%+v", differences(a.texts(), want), differences(b.texts(), want), a.Status(), b.Status())
		}
		return maps.Equal(a.texts(), want) && maps.Equal(b.texts(), want)
	})
	// And they stay so.
	commits := tree.commits
	time.Sleep(300 * time.Millisecond)
	if tree.commits > commits {
		t.Errorf("%d more commits", tree.commits-commits)
	}
	for _, f := range []*box{a, b} {
		eventually(t, "no problems", func() bool { return len(f.Status().Problems) == 0 })
	}
}
