package files

import (
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestRestoreUndoesAndRedoes(t *testing.T) {
	dir := t.TempDir()
	first := files{"a": "one", "sub/b": "two", "sub/c": "three"}
	first.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	v1 := imported(t, s).Version
	files{"a": "ONE", "sub/b": "TWO", "d": "four"}.write(t, dir)
	second := files{"a": "ONE", "sub/b": "TWO", "sub/c": "three", "d": "four"}
	v2 := imported(t, s).Version

	place, err := l.Find(dir, "/")
	if err != nil {
		t.Fatal(err)
	}
	undo, err := l.Restore(t.Context(), place, State{Version: v1})
	if err != nil {
		t.Fatal(err)
	}
	if undo.From != v1 || undo.Before != v2 || undo.Changes != 3 || undo.Version <= v2 {
		t.Errorf("undo: %+v", undo)
	}
	wantDrive(t, s, first)
	wantFolder(t, dir, first)

	redo, err := l.Restore(t.Context(), place, State{Version: undo.Before})
	if err != nil || redo.Changes != 3 {
		t.Fatalf("redo: %+v, %v", redo, err)
	}
	wantDrive(t, s, second)
	wantFolder(t, dir, second)
	if in := imported(t, s); in.Added+in.Changed+in.Removed != 0 {
		t.Errorf("the folder is not what the drive says: %+v", in)
	}
	if again, err := l.Restore(t.Context(), place, State{Version: undo.Before}); err != nil || again.Changes != 0 {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

func TestRestoreOfAPathLeavesTheRest(t *testing.T) {
	dir := t.TempDir()
	files{"a": "one", "sub/b": "two"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	v1 := imported(t, s).Version
	files{"a": "ONE", "sub/b": "TWO", "sub/new": "!"}.write(t, dir)
	imported(t, s)
	place, err := l.Find(s.Record.Name+"/sub", "/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Restore(t.Context(), place, State{Version: v1}); err != nil {
		t.Fatal(err)
	}
	want := files{"a": "ONE", "sub/b": "two"}
	wantDrive(t, s, want)
	wantFolder(t, dir, want)
}

func TestRestoreLosesNothingThatWasNotImported(t *testing.T) {
	dir := t.TempDir()
	files{"a": "one"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	v1 := imported(t, s).Version
	files{"a": "never imported", "b": "neither"}.write(t, dir)
	place, err := l.Find(dir, "/")
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.Restore(t.Context(), place, State{Version: v1})
	if err != nil {
		t.Fatal(err)
	}
	wantFolder(t, dir, files{"a": "one"})
	if _, err := l.Restore(t.Context(), place, State{Version: out.Before}); err != nil {
		t.Fatal(err)
	}
	wantFolder(t, dir, files{"a": "never imported", "b": "neither"})
}

func TestRestoreRefusesWhatItCannotDo(t *testing.T) {
	dir := t.TempDir()
	files{"a": "one"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	imported(t, s)
	place, err := l.Find(dir, "/")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		state State
		kind  fault.Kind
	}{
		"no state":      {State{}, fault.Usage},
		"a later state": {State{Version: 99}, fault.NotFound},
	} {
		if _, err := l.Restore(t.Context(), place, c.state); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A drive of somebody else.
	other, _ := openLibrary(t, t.TempDir())
	foreign, err := other.Find(s.Record.Link, "/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Restore(t.Context(), foreign, State{Version: 1}); fault.KindOf(err) != fault.Permission {
		t.Errorf("a drive of somebody else: %v", err)
	}
}

func TestHistoryTellsWhoWhenAndWhat(t *testing.T) {
	dir := t.TempDir()
	files{"a": "one", "b": "two"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	before := time.Now().Add(-time.Second)
	v1 := imported(t, s).Version
	files{"a": "ONE"}.write(t, dir)
	v2 := imported(t, s).Version
	history := func(ref string) (all []Version) {
		t.Helper()
		p, err := l.Find(ref, "/")
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Read(t.Context(), p, State{}, patient)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for v, err := range r.History() {
			if err != nil {
				t.Fatal(err)
			}
			if v.Author == "" || v.Time.Before(before) || v.Time.After(time.Now().Add(time.Second)) {
				t.Errorf("version %d by %q at %v", v.Version, v.Author, v.Time)
			}
			all = append(all, v)
		}
		return all
	}
	all := history(dir)
	if len(all) != 2 || all[0].Version != v2 || all[1].Version != v1 || len(all[1].Changes) != 2 || all[1].Changes[0].Path != "/a" {
		t.Errorf("history %+v", all)
	}
	if all := history(dir + "/b"); len(all) != 1 || all[0].Version != v1 {
		t.Errorf("history of a file %+v", all)
	}
}
