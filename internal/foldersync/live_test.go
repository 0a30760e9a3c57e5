package foldersync

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// A folder is renamed, and found under its new name before the system has told of that. It
// is still watched, with what is in it.
func TestFoldersThatAreFoundBeforeTheyAreToldStayWatched(t *testing.T) {
	b := newBox(t, newMemTree(), nil)
	must(t, os.MkdirAll(b.path("old/in"), 0o755), b.attach(), b.reloadRules())
	w := b.startWatch()
	for _, name := range []string{"", "old", "old/in"} {
		w.add(b.path(name))
	}
	must(t, os.Rename(b.path("old"), b.path("new")))
	scan := func() {
		w.add(b.path("new"))
		w.add(b.path("new/in"))
	}
	scan()
	defer runWatcher(t, w)()
	told := func(path string) func() bool {
		return func() bool {
			paths, _ := b.dirty.take(time.Now().Add(time.Hour))
			return slices.Contains(paths, path)
		}
	}
	eventually(t, "the new name is told", told("new"))
	scan()
	b.write("new/in/file", "1")
	eventually(t, "a file is told", told("new/in/file"))
	b.write("new/file", "1")
	eventually(t, "another file is told", told("new/file"))
}

// A folder is renamed and the system does not tell, because too much happened. It is watched
// under its new name when everything was looked at.
func TestFoldersOfWhichNothingWasToldAreWatched(t *testing.T) {
	b := newBox(t, newMemTree(), nil)
	must(t, os.MkdirAll(b.path("old/in"), 0o755), b.attach(), b.reloadRules())
	w := b.startWatch()
	for _, name := range []string{"", "old", "old/in"} {
		w.add(b.path(name))
	}
	must(t, os.Rename(b.path("old"), b.path("new")), os.Mkdir(b.path("end"), 0o755))
	for e := range w.w.Events() {
		if e.Name == b.path("end") {
			break // all before it is lost
		}
	}
	w.startOver()
	if _, err := b.scan(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	defer runWatcher(t, w)()
	b.write("new/in/file", "1")
	eventually(t, "a file is told", func() bool {
		paths, _ := b.dirty.take(time.Now().Add(time.Hour))
		return slices.Contains(paths, "new/in/file")
	})
}

// runWatcher runs a watcher until the result is called.
func runWatcher(t *testing.T, w *watcher) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })
	return func() {
		cancel()
		wg.Wait()
		must(t, w.stop())
	}
}

// Another folder with the same marker is at the root, as after a copy, or a repair. It is the
// one that is watched from now on.
func TestAFolderThatIsReplacedIsWatched(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("d/x", "1")
	live(t, b)
	eventually(t, "the start", b.has("d/x", "1"))
	marker, err := os.ReadFile(b.path(markerName))
	must(t, err)
	away := filepath.Dir(b.root) + ".away"
	must(t, os.Rename(filepath.Dir(b.root), away))
	t.Cleanup(func() { _ = os.RemoveAll(away) })
	b.write("d/x", "2")
	must(t, os.WriteFile(b.path(markerName), marker, 0o644))
	b.dirty.add("") // the look at everything, which comes sooner or later
	eventually(t, "it is looked at", b.has("d/x", "2"))
	b.write("d/x", "3")
	eventually(t, "a change is told", b.has("d/x", "3"))
	b.write("new", "4")
	eventually(t, "a new file is told", b.has("new", "4"))
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
	began := time.Now()
	for i := range 200 {
		line := fmt.Sprintln("line", i)
		all.WriteString(line)
		_, err := f.WriteString(line)
		must(t, err)
		time.Sleep(time.Millisecond)
	}
	must(t, f.Close())
	// Where somebody had to wait for a processor it may have looked quiet, but each time
	// for as long as that takes.
	most := 2 + int(time.Since(began)/quietTime)
	eventually(t, "the whole file", func() bool { return tree.texts()["log"] == all.String() })
	if n := tree.committed(); n > most {
		t.Errorf("%d commits, more than %d, for a file that was never quiet", n, most)
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
	// The folders come to be equal and stay so: of what is left to be done, as times that
	// differ still, nothing makes more of it.
	began := time.Now()
	eventually(t, "the folders are equal, and nobody does anything", func() bool {
		commits := tree.committed()
		time.Sleep(300 * time.Millisecond)
		want := tree.texts()
		if time.Since(began) > 50*time.Second {
			t.Fatalf("a: %s\nb: %s\n%+v\n%+v", differences(a.texts(), want), differences(b.texts(), want), a.Status(), b.Status())
		}
		return maps.Equal(a.texts(), want) && maps.Equal(b.texts(), want) && tree.committed() == commits
	})
	for _, f := range []*box{a, b} {
		eventually(t, "no problems", func() bool { return len(f.Status().Problems) == 0 })
	}
}

// What the system does not tell about is found by looking at everything.
func TestRescanFindsWhatIsNotTold(t *testing.T) {
	tree := newMemTree()
	a := newBox(t, tree, &Options{Rescan: 20 * time.Millisecond})
	live(t, a)
	eventually(t, "the first scan", func() bool { return !a.Status().LastScan.IsZero() })
	w := a.watch.Load()
	must(t, w.w.Close()) // nothing is told any more
	eventually(t, "a report", func() bool { return a.problem(problemWatch) != "" && !a.Status().Watching })
	a.write("x/y", "new")
	eventually(t, "a new file", func() bool { return tree.texts()["x/y"] == "new" })
	a.write("x/y", "edit")
	eventually(t, "an edit", func() bool { return tree.texts()["x/y"] == "edit" })
}

// Changes that are told do not put off the look at everything.
func TestRescanComesBetweenChanges(t *testing.T) {
	tree := newMemTree()
	a := newBox(t, tree, &Options{Rescan: 300 * time.Millisecond})
	a.write("x", "0")
	live(t, a)
	eventually(t, "the first scan", func() bool { return !a.Status().LastScan.IsZero() })
	first := a.Status().LastScan
	for i := 1; !a.Status().LastScan.After(first.Add(500 * time.Millisecond)); i++ {
		if time.Since(first) > time.Minute {
			t.Fatal("everything was not looked at again")
		}
		text := fmt.Sprint(i)
		a.write("x", text)
		eventually(t, "an edit", func() bool { return tree.texts()["x"] == text })
	}
}

func TestLargeFoldersAreLookedAtLessOften(t *testing.T) {
	a := newBox(t, newMemTree(), nil)
	w := a.startWatch()
	defer w.stop()
	for _, c := range []struct{ took, watched, blind time.Duration }{
		{0, defaultRescan, blindRescan},
		{400 * time.Millisecond, defaultRescan, blindRescan}, // some 100,000 files
		{4 * time.Second, 4000 * time.Second, 80 * time.Second},
	} {
		w.blind = nil
		if got := a.Folder.rescan(w, c.took); got != c.watched {
			t.Errorf("after %v: %v", c.took, got)
		}
		w.blind = syscall.ENOSPC
		if got := a.Folder.rescan(w, c.took); got != c.blind {
			t.Errorf("after %v, without watches: %v", c.took, got)
		}
	}
}

func TestLimitOfWatchesIsExplained(t *testing.T) {
	a := newBox(t, newMemTree(), nil)
	w := a.startWatch()
	defer w.stop()
	w.fail(fmt.Errorf("add a watch: %w", syscall.ENOSPC))
	s := a.Status()
	if len(s.Problems) != 1 || len(s.Problems[0].Hints) == 0 || s.Watching || a.Folder.rescan(w, 0) != blindRescan {
		t.Errorf("%+v", s)
	}
}

// Contents that nobody has hold up nothing else, and come when somebody has them.
func TestContentsThatCannotBeHadComeLater(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, &Options{Patience: 50 * time.Millisecond, Workers: 2})
	for i := range 20 {
		tree.put(fmt.Sprintf("missing %d", i), fmt.Sprint("m", i))
	}
	tree.put("there", "there")
	b.Folder.tree = &stalling{view: tree.view()}
	b.once()
	wantEqual(t, "folder", b.texts(), map[string]string{"there": "there"})
	s := b.Status()
	if len(s.Problems) != 20 || len(s.Problems[0].Hints) == 0 {
		t.Errorf("%+v", s.Problems)
	}
	b.Folder.tree = tree.view()
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
	if s := b.Status(); len(s.Problems) > 0 {
		t.Errorf("%+v", s.Problems)
	}
}

// While many contents cannot be had one after the other, what is new and can be comes soon.
func TestNewFilesDoNotWaitForContentsThatCannotBeHad(t *testing.T) {
	tree := newMemTree()
	s := &stalling{view: tree.view()}
	b := newBoxOn(t, tree, s, &Options{Patience: 500 * time.Millisecond})
	const missing = 1000
	for i := range missing {
		tree.put(fmt.Sprintf("missing %03d", i), fmt.Sprint("m", i))
	}
	live(t, b)
	eventually(t, "the first are waited for in vain", func() bool { return len(b.Status().Problems) > 0 })
	for i := range 3 {
		tree.put(fmt.Sprint("new ", i), fmt.Sprint(i))
		eventually(t, "what is new", b.reads(fmt.Sprint("new ", i), fmt.Sprint(i)))
	}
	first := len(b.Status().Problems)
	if first > missing/2 {
		t.Errorf("%d contents were waited for before", first)
	}
	// All have their turn, though something new comes again and again.
	eventually(t, "others are tried", func() bool {
		tree.put("new", fmt.Sprint(len(b.Status().Problems)))
		time.Sleep(200 * time.Millisecond)
		return len(b.Status().Problems) > first+40
	})
}

// The events tell what the status counts.
func TestEventsAndStatus(t *testing.T) {
	tree := newMemTree()
	var mu sync.Mutex
	events := map[EventKind][]string{}
	b := newBox(t, tree, &Options{OnEvent: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events[e.Kind] = append(events[e.Kind], e.Path)
	}})
	b.write("mine", "12345")
	tree.put("theirs", "1234567")
	b.once()
	tree.delete("theirs")
	b.once()
	s := b.Status()
	if s.Committed != 1 || s.Written != 1 || s.Removed != 1 || s.SentBytes != 5 || s.WrittenBytes != 7 || s.Files != 1 || s.State != StateIdle {
		t.Errorf("%+v", s)
	}
	for kind, want := range map[EventKind]string{EventCommitted: "mine", EventWritten: "theirs", EventRemoved: "theirs"} {
		if got := events[kind]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", kind, got)
		}
	}
}
