package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/filetree"
)

// problem returns the text of the problem at a path.
func (b *box) problem(path string) string {
	for _, p := range b.Status().Problems {
		if p.Path == path {
			return p.Text
		}
	}
	return ""
}

func TestVanishedFolderDeletesNothing(t *testing.T) {
	for name, vanish := range map[string]func(b *box){
		"the folder is gone":   func(b *box) { must(t, os.Rename(b.root, b.root+".away")) },
		"an empty mount point": func(b *box) { must(t, os.Rename(b.root, b.root+".away"), os.Mkdir(b.root, 0o755)) },
		"another folder": func(b *box) {
			must(t, os.Rename(b.root, b.root+".away"), os.Mkdir(b.root, 0o755))
			must(t, os.WriteFile(b.path(markerName), []byte(strings.Repeat("0", 32)), 0o644))
		},
		"a file": func(b *box) {
			must(t, os.Rename(b.root, b.root+".away"), os.WriteFile(b.root, nil, 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			b := newBox(t, tree, nil)
			b.write("a", "1")
			b.once()
			vanish(b)
			tree.put("b", "2")
			for range 2 {
				if err := b.Once(t.Context()); !errors.Is(err, ErrAsking) {
					t.Fatalf("got %v", err)
				}
				if s := b.Status(); s.State != StateAsking || s.Reason == "" {
					t.Errorf("%+v", s)
				}
				b.restart()
			}
			wantEqual(t, "tree", tree.texts(), map[string]string{"a": "1", "b": "2"})
			// It is back: all goes on.
			must(t, os.RemoveAll(b.root), os.Rename(b.root+".away", b.root))
			b.once()
			wantEqual(t, "folder", b.texts(), tree.texts())
		})
	}
}

func TestAdoptedFolderIsComparedAnew(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("same", "1")
	b.write("gone", "2")
	b.once()
	must(t, os.RemoveAll(b.root))
	b.write("same", "1")
	b.write("new", "3")
	if err := b.Once(t.Context()); !errors.Is(err, ErrAsking) {
		t.Fatalf("got %v", err)
	}
	must(t, b.Adopt(t.Context()))
	b.once()
	want := map[string]string{"same": "1", "gone": "2", "new": "3"}
	wantEqual(t, "folder", b.texts(), want)
	wantEqual(t, "tree", tree.texts(), want)
}

func TestEmptiedFolderAsks(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	for i := range guardFiles {
		b.write(fmt.Sprint(i), "x")
	}
	b.once()
	for i := range guardFiles {
		must(t, os.Remove(b.path(fmt.Sprint(i))))
	}
	if err := b.Once(t.Context()); !errors.Is(err, ErrAsking) {
		t.Fatalf("got %v", err)
	}
	if len(tree.entries) != guardFiles {
		t.Fatalf("%d entries are left", len(tree.entries))
	}
	b.Confirm()
	b.once()
	if len(tree.entries) != 0 {
		t.Errorf("%d entries are left", len(tree.entries))
	}
}

func TestMaxDeletesAsks(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, &Options{MaxDeletes: 2})
	for i := range 6 {
		b.write(fmt.Sprint("d/", i), fmt.Sprint(i))
	}
	b.once()
	must(t, os.Rename(b.path("d"), b.path("moved"))) // deletes nothing
	b.once()
	for i := range 3 {
		must(t, os.Remove(b.path(fmt.Sprint("moved/", i))))
	}
	if err := b.Once(t.Context()); !errors.Is(err, ErrAsking) {
		t.Fatalf("got %v", err)
	}
	b.Confirm()
	b.once()
	wantEqual(t, "tree", tree.texts(), b.texts())
}

func TestHostilePathsAndLinksStayInside(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	outside := t.TempDir()
	b.write("a", "1")
	b.once()
	paths := []string{"../escape", "/etc/escape", "a/../../escape", "x//y", "./z", "..", ".", "", "nul\x00", "bad\xff", "d/.", strings.Repeat("x/", 2100) + "y",
		markerName, "d/" + temporaryName(), strings.Repeat("n", 300)}
	tree.mu.Lock()
	for i, p := range paths {
		h := [32]byte{byte(i)}
		tree.contents[h] = []byte("evil")
		tree.set(filetree.Entry{Path: p, Version: tree.version(), Item: filetree.Item{Kind: kindFile, Size: 4, Hash: h, Mode: 0o644}})
	}
	// A link that leads out, and files behind it.
	tree.set(filetree.Entry{Path: "out", Version: tree.version(), Item: filetree.Item{Kind: kindSymlink, Target: outside}})
	tree.mu.Unlock()
	b.once()
	tree.put("local/file", "text")
	must(t, os.Symlink(outside, b.path("local")))
	tree.mu.Lock()
	h := [32]byte{99}
	tree.contents[h] = []byte("evil")
	tree.set(filetree.Entry{Path: "out/file", Version: tree.version(), Item: filetree.Item{Kind: kindFile, Size: 4, Hash: h, Mode: 0o644}})
	tree.mu.Unlock()
	must(t, b.pull(t.Context()))
	list, err := os.ReadDir(outside)
	must(t, err)
	if len(list) > 0 {
		t.Errorf("written outside: %v", list)
	}
	for _, name := range []string{"../escape", "/etc/escape"} {
		if _, err := os.Lstat(filepath.Join(b.root, name)); err == nil {
			t.Errorf("%s exists", name)
		}
	}
	b.once()
	if list, err = os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("written outside: %v, %v", list, err)
	}
	if b.problem(strings.Repeat("n", 300)) == "" {
		t.Error("no problem with a name that is too long")
	}
}

func TestContentThatIsNotWhatItsAuthorSaidIsRefused(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	tree.put("a", "right")
	tree.put("b", "fine")
	tree.mu.Lock()
	tree.contents[tree.entries["a"].Hash] = []byte("wrong")
	tree.mu.Unlock()
	b.once()
	wantEqual(t, "folder", b.texts(), map[string]string{"b": "fine"})
	if !strings.Contains(b.problem("a"), "not what its author said") {
		t.Errorf("%+v", b.Status().Problems)
	}
	tree.mu.Lock()
	tree.contents[tree.entries["a"].Hash] = []byte("right")
	tree.mu.Unlock()
	b.once()
	wantEqual(t, "folder", b.texts(), map[string]string{"a": "right", "b": "fine"})
	if len(b.Status().Problems) > 0 {
		t.Errorf("%+v", b.Status().Problems)
	}
}

// A change that is made while the tree's is fetched is not replaced.
func TestLocalChangesWinWhileContentIsFetched(t *testing.T) {
	for name, meddle := range map[string]func(b *box){
		"edited":   func(b *box) { b.write("a", "mine") },
		"in place": func(b *box) { appendTo(t, b.path("a"), "mine") },
		"removed":  func(b *box) { must(t, os.Remove(b.path("a"))) },
		"a folder": func(b *box) { must(t, os.Remove(b.path("a")), os.Mkdir(b.path("a"), 0o755)); b.write("a/mine", "mine") },
	} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			b := newBox(t, tree, nil)
			b.write("a", "old")
			b.once()
			tree.put("a", "theirs")
			done := false
			tree.fail = func(op, path string) error {
				if op == "open" && !done {
					done = true
					meddle(b)
				}
				return nil
			}
			must(t, b.pull(t.Context()))
			if !done {
				t.Fatal("nothing was fetched")
			}
			before := b.texts()
			tree.fail = nil
			b.once()
			wantEqual(t, "folder", b.texts(), tree.texts())
			after := map[string]bool{}
			for _, text := range b.texts() {
				after[text] = true
			}
			for p, text := range before {
				if !after[text] {
					t.Errorf("%s: %q is lost", p, text)
				}
			}
			if !after["theirs"] {
				t.Errorf("the other side is lost: %q", b.texts())
			}
		})
	}
}

func appendTo(t testing.TB, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err, f.Close())
}

func TestReplaceAndRemoveTakeNothingElse(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("a", "old")
	b.once()
	r, _, err := b.idx.get("a")
	must(t, err)
	at, err := b.enter("", false)
	must(t, err)
	defer at.close()
	must(t, os.WriteFile(b.path("a"), []byte("edited"), 0o644), os.WriteFile(b.path("new"), []byte("new"), 0o644))
	if err := at.replace("new", "a", &r); !errors.Is(err, errLocal) {
		t.Errorf("replace: %v", err)
	}
	if err := at.remove("a", &r); !errors.Is(err, errLocal) {
		t.Errorf("remove: %v", err)
	}
	must(t, os.WriteFile(b.path("new"), []byte("new"), 0o644))
	if err := at.replace("new", "a", nil); !errors.Is(err, errLocal) {
		t.Errorf("replace of nothing: %v", err)
	}
	if got := b.texts(); got["a"] != "edited" || len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// Somebody saves a file at the moment at which its predecessor was taken away, which turned
// out to be another than was to be removed. Both are seen.
func TestWhatCannotBePutBackIsSeen(t *testing.T) {
	b := newBox(t, newMemTree(), nil)
	b.write("a", "old")
	b.once()
	r, _, err := b.idx.get("a")
	must(t, err)
	at, err := b.enter("", false)
	must(t, err)
	defer at.close()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			if f, err := os.OpenFile(b.path("a"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err == nil {
				_ = f.Close()
			}
		}
	}()
	for range 1000 {
		must(t, os.WriteFile(b.path("edited"), []byte("edited"), 0o644), os.Rename(b.path("edited"), b.path("a")))
		if err := at.remove("a", &r); !errors.Is(err, errLocal) {
			t.Fatal(err)
		}
	}
	close(quit)
	<-done
	list, err := os.ReadDir(b.root)
	must(t, err)
	for _, d := range list {
		if isKept(d.Name()) {
			t.Fatalf("%s is hidden", d.Name())
		}
	}
	if l, err := filepath.Glob(b.path("recovered-*")); err != nil || len(l) == 0 {
		t.Logf("it did not come to that: %v", err)
	}
}

func TestLeftoversOfACrash(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("sub/a", "known")
	b.once()
	b.write("sub/"+temporaryName(), "half")
	b.write("sub/"+keptName(), "known")
	b.write("sub/"+keptName(), "an edit that nobody has")
	b.restart()
	b.once()
	got := b.texts()
	found := ""
	for p := range got {
		if strings.HasPrefix(p, "sub/recovered-") {
			found = p
		}
	}
	if found == "" || got[found] != "an edit that nobody has" || len(got) != 3 {
		t.Errorf("%q", got)
	}
	wantEqual(t, "tree", tree.texts(), got)
	if left := b.temporaries(); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

func TestWhatCannotBeWrittenIsReportedAndTriedAgain(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	b.write("dir/a", "1")
	b.once()
	// What the tree wants to be a file is a folder with something that is ignored.
	must(t, os.RemoveAll(b.path("dir")), os.MkdirAll(b.path("dir/.git"), 0o755))
	b.once()
	tree.delete("dir")
	b.once()
	tree.put("dir", "file")
	b.once()
	if len(b.Status().Problems) == 0 {
		t.Error("no problem")
	}
	must(t, os.RemoveAll(b.path("dir")))
	b.once()
	wantEqual(t, "folder", b.texts(), tree.texts())
	if p := b.Status().Problems; len(p) > 0 {
		t.Errorf("%+v", p)
	}
}

func TestFilesThatChangeWhileTheyAreReadAreNotCommitted(t *testing.T) {
	for name, size := range map[string]int{"small": 100, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			b := newBox(t, tree, nil)
			b.write("a", strings.Repeat("x", size))
			f, err := os.OpenFile(b.path("a"), os.O_RDWR, 0)
			must(t, err)
			defer f.Close()
			info, err := f.Stat()
			must(t, err)
			st, _ := statOf(info)
			e := edit{found: found{path: "a", local: "a", kind: kindFile, stat: st}}
			must(t, b.attach(), b.reloadRules())
			// It changes between the two looks at it.
			tree.fail = nil
			v := &changing{view: tree.view(), change: func() { _, _ = f.WriteAt([]byte("y"), 0) }}
			b.tree = tree
			b.Folder.tree = v
			v.now = true
			_, err = b.prepare(t.Context(), e)
			if size > smallSize && !errors.Is(err, errChanging) {
				t.Errorf("got %v", err)
			}
			v.now = false
			b.once()
			if got := tree.texts()["a"]; !strings.HasPrefix(got, b.texts()["a"][:1]) || len(got) != size {
				t.Errorf("%.10q of %d bytes", got, len(got))
			}
		})
	}
}

func TestPowerFailureDoesNotMakeCutFilesVersions(t *testing.T) {
	for name, left := range map[string]string{"empty": "", "a part": "the con"} {
		t.Run(name, func(t *testing.T) {
			tree := newMemTree()
			b := newBox(t, tree, nil)
			tree.put("a", "the content")
			b.once()
			// As if it had not been marked durable, and the system was started anew.
			r, _, err := b.idx.get("a")
			must(t, err)
			r.unsure = true
			must(t, b.idx.apply(update{put: []record{r}}), os.WriteFile(b.path("a"), []byte(left), 0o644))
			commits := tree.commits
			b.once()
			if tree.commits != commits || b.texts()["a"] != "the content" {
				t.Errorf("%d commits, %q", tree.commits-commits, b.texts())
			}
			// Something else is an edit.
			r, _, err = b.idx.get("a")
			must(t, err)
			r.unsure = true
			must(t, b.idx.apply(update{put: []record{r}}), os.WriteFile(b.path("a"), []byte("edit"), 0o644))
			b.once()
			if tree.texts()["a"] != "edit" {
				t.Errorf("%q", tree.texts())
			}
		})
	}
}

func TestIndexOfAnotherBootIsInDoubt(t *testing.T) {
	dir := t.TempDir()
	x, err := openIndex(dir, "boot 1", func() error { return nil })
	must(t, err)
	must(t, x.apply(update{put: []record{{path: "marked", kind: kindFile}, {path: "dir", kind: kindDir}}}), x.mark())
	must(t, x.apply(update{put: []record{{path: "new", kind: kindFile}}}))
	x.abandon()
	for _, boot := range []string{"boot 1", "boot 2"} {
		x, err = openIndex(dir, boot, func() error { return nil })
		must(t, err)
		for path, want := range map[string]bool{"marked": false, "dir": false, "new": boot == "boot 2"} {
			if r, ok, err := x.get(path); err != nil || !ok || r.unsure != want {
				t.Errorf("%s, %s: unsure %v, %v, %v", boot, path, r.unsure, ok, err)
			}
		}
		x.abandon()
	}
}

// What is in doubt stays so through a new table, while all is made durable, and until it
// was looked at.
func TestDoubtOutlivesTables(t *testing.T) {
	dir := t.TempDir()
	var x *index
	file := func(path string) { must(t, x.apply(update{put: []record{{path: path, kind: kindFile}}})) }
	merge := func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		must(t, x.mergeLocked())
	}
	during := func() {}
	durable := func() error { during(); return nil }
	open := func(boot string) {
		var err error
		x, err = openIndex(dir, boot, durable)
		must(t, err)
	}
	want := func(boot string, unsure map[string]bool) {
		t.Helper()
		for path, want := range unsure {
			if r, ok, err := x.get(path); err != nil || !ok || r.unsure != want {
				t.Errorf("%s, %s: unsure %v, %v, %v", boot, path, r.unsure, ok, err)
			}
		}
	}
	open("boot 1")
	file("marked")
	must(t, x.mark())
	file("before the table")
	merge()
	file("behind the table")
	x.abandon()
	open("boot 1")
	want("boot 1", map[string]bool{"marked": false, "before the table": false, "behind the table": false})
	x.abandon()
	open("boot 2")
	doubt := map[string]bool{"marked": false, "before the table": true, "behind the table": true}
	want("boot 2", doubt)
	must(t, x.mark())
	x.abandon()
	open("boot 2")
	want("boot 2 again", doubt)
	merge()
	want("boot 2, new table", doubt)

	file("before the table")
	file("behind the table")
	file("made durable")
	during = func() {
		file("while it was made durable")
		merge()
	}
	must(t, x.mark())
	x.abandon()
	open("boot 3")
	want("boot 3", map[string]bool{"marked": false, "before the table": false, "made durable": false, "while it was made durable": true})
	x.abandon()
}

func TestFolderModesAndTimes(t *testing.T) {
	tree := newMemTree()
	a, b := newBox(t, tree, nil), newBox(t, tree, nil)
	a.write("dir/a", "1")
	a.once()
	b.once()
	when := time.Unix(1_600_000_000, 123)
	must(t, os.Chmod(a.path("dir"), 0o750), os.Chmod(a.path("dir/a"), 0o400), os.Chtimes(a.path("dir/a"), when, when))
	stored, opened := tree.stored, tree.opened
	a.once()
	b.once()
	for name, want := range map[string]fs.FileMode{"dir": 0o750, "dir/a": 0o400} {
		info, err := os.Stat(b.path(name))
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	if !b.mtime("dir/a").Equal(when) {
		t.Errorf("time %v", b.mtime("dir/a"))
	}
	if tree.stored != stored || tree.opened != opened {
		t.Error("content was moved for a mode")
	}
}

// One thing that no tree can have must not keep all others out.
func TestPathsThatNoTreeCanHaveHoldUpNothingWhileWatched(t *testing.T) {
	tree := newMemTree()
	b := newBox(t, tree, nil)
	live(t, b)
	eventually(t, "the start", func() bool { return b.Status().Watching && b.Status().LastScan.After(time.Time{}) })
	deep := strings.Repeat("d/", filetree.MaxDepth-1)
	must(t, os.MkdirAll(b.path(deep+"d"), 0o755))
	must(t, os.WriteFile(b.path("bad\xff"), nil, 0o644), os.WriteFile(b.path(deep+"d/too deep"), nil, 0o644), os.WriteFile(b.path(deep+"deep"), nil, 0o644))
	b.write("good", "1")
	eventually(t, "the good ones are sent", func() bool {
		texts := tree.texts()
		_, ok := texts[deep+"deep"]
		return ok && texts["good"] == "1"
	})
	eventually(t, "problems", func() bool {
		return strings.Contains(b.problem("bad\uFFFD"), "not UTF-8") && strings.Contains(b.problem(deep+"d/too deep"), "below more than")
	})
	must(t, os.Rename(b.path("bad\xff"), b.path("better")))
	eventually(t, "it is solved", func() bool { return b.problem("bad\uFFFD") == "" })
}
