package files

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestGetFollowsTheDriveAndKeepsWhatAPersonMade(t *testing.T) {
	dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "dest")
	files{"a": "one", "sub/b": "two"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	v1 := imported(t, s).Version
	ref := s.Record.Name
	if got, err := get(t.Context(), l, ref, State{}, dest, false); err != nil || got.Written != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := get(t.Context(), l, ref, State{}, dest, false); err != nil || got.Written != 0 {
		t.Errorf("again: %+v, %v", got, err)
	}
	files{"a": "ONE!"}.write(t, dir)
	if err := os.Remove(filepath.Join(dir, "sub", "b")); err != nil {
		t.Fatal(err)
	}
	imported(t, s)
	files{"own": "mine"}.write(t, dest)
	if _, err := get(t.Context(), l, ref, State{}, dest, false); err != nil {
		t.Fatal(err)
	}
	wantFolder(t, dest, files{"a": "ONE!", "own": "mine"})

	// Back to an older state, and what was changed here is not replaced.
	files{"a": "changed here"}.write(t, dest)
	if _, err := get(t.Context(), l, ref, State{Version: v1}, dest, false); fault.KindOf(err) != fault.Conflict {
		t.Errorf("over a change: %v", err)
	}
	wantFolder(t, dest, files{"a": "changed here", "own": "mine"})
	if _, err := get(t.Context(), l, ref, State{Version: v1}, dest, true); err != nil {
		t.Fatal(err)
	}
	wantFolder(t, dest, files{"a": "one", "sub/b": "two", "own": "mine"})
}

// TestFilesOfAGetAppearWhole looks at the destination at every report, then
// breaks the get off and goes on.
func TestFilesOfAGetAppearWhole(t *testing.T) {
	dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "dest")
	want := files{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		want[name] = strings.Repeat(name, 700_000)
	}
	want.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	imported(t, s)
	place, err := l.Find(s.Record.Name, "/")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := l.Read(ctx, place, State{}, patient)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Get(r, GetOptions{Dest: dest}, func(p Progress) {
		entries, _ := os.ReadDir(dest) // before it exists there are none
		for _, e := range entries {
			text, known := want[e.Name()]
			if !known {
				continue // under a temporary name
			}
			if b, err := os.ReadFile(filepath.Join(dest, e.Name())); err != nil || string(b) != text {
				t.Errorf("%s has %d bytes, %v", e.Name(), len(b), err)
			}
		}
		if p.Bytes > 1_500_000 {
			cancel()
		}
	})
	r.Close()
	if fault.KindOf(err) != fault.Canceled {
		t.Fatalf("broken off: %v", err)
	}
	// What a killed process leaves.
	left := filepath.Join(dest, ".hyperdrive-0123456789abcdef.tmp")
	if err := os.WriteFile(left, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), l, s.Record.Name, State{}, dest, false); err != nil {
		t.Fatal(err)
	}
	wantFolder(t, dest, want)
}

func TestTwoGetsDoNotWriteToOnePlace(t *testing.T) {
	l, _ := openLibrary(t, t.TempDir())
	release, err := l.claim("/dest")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.claim("/dest"); fault.KindOf(err) != fault.Busy {
		t.Errorf("second: %v", err)
	}
	release()
	if release, err = l.claim("/dest"); err != nil {
		t.Fatal(err)
	}
	release()
}

func TestGetStaysAwayFromOwnFolders(t *testing.T) {
	dir := t.TempDir()
	files{"a": "one"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	l.opts.Home = t.TempDir()
	s := share(t, l, dir)
	imported(t, s)
	for dest, kind := range map[string]fault.Kind{
		dir: fault.Conflict, filepath.Join(dir, "below"): fault.Conflict, filepath.Dir(dir): fault.Conflict,
		l.opts.Home: fault.Usage, filepath.Join(l.opts.Home, "x"): fault.Usage,
	} {
		if _, err := get(t.Context(), l, s.Record.Name, State{}, dest, true); fault.KindOf(err) != kind {
			t.Errorf("to %s: %v", dest, err)
		}
	}
	wantFolder(t, dir, files{"a": "one"})
}

func TestGetGivesAFileAnotherName(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	files{"a": "one", "sub/b": "two"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	imported(t, s)
	ref, dest := s.Record.Name+"/sub/b", filepath.Join(out, "new", "name")
	got, err := get(t.Context(), l, ref, State{}, dest, false)
	if err != nil || got.Dest != dest || got.Written != 1 || got.Files != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantFolder(t, out, files{"new/name": "two"})
	if got, err := get(t.Context(), l, ref, State{}, dest, false); err != nil || got.Written != 0 {
		t.Errorf("again: %+v, %v", got, err)
	}
	files{"sub/b": "2!"}.write(t, dir)
	imported(t, s)
	if got, err := get(t.Context(), l, ref, State{}, dest, false); err != nil || got.Written != 1 {
		t.Errorf("the next version: %+v, %v", got, err)
	}
	wantFolder(t, out, files{"new/name": "2!"})

	// What a person made is kept, under the new name too.
	files{"new/name": "mine, all mine", "a": "mine"}.write(t, out)
	if _, err := get(t.Context(), l, ref, State{}, dest, false); fault.KindOf(err) != fault.Conflict {
		t.Errorf("over a change: %v", err)
	}
	if _, err := get(t.Context(), l, s.Record.Name+"/sub/b", State{}, filepath.Join(out, "a"), false); fault.KindOf(err) != fault.Conflict {
		t.Errorf("over a file of the person: %v", err)
	}
	wantFolder(t, out, files{"new/name": "mine, all mine", "a": "mine"})
	if _, err := get(t.Context(), l, ref, State{}, dest, true); err != nil {
		t.Fatal(err)
	}
	wantFolder(t, out, files{"new/name": "2!", "a": "mine"})
}

// TestGetOfAFileKeepsFewRecords gets a file many times: only what was written is
// remembered.
func TestGetOfAFileKeepsFewRecords(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	files{"a": "one", "b": "two"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	imported(t, s)
	for range 5 {
		for _, name := range []string{"a", "b"} {
			for _, dest := range []string{out, filepath.Join(out, name+"2")} {
				if _, err := get(t.Context(), l, s.Record.Name+"/"+name, State{}, dest, false); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	record, _ := l.registry.byKey(s.Record.Key)
	if n := len(record.Gets[out]); n != 2 || len(record.Gets) != 3 {
		t.Errorf("%d records of the folder, %d places", n, len(record.Gets))
	}
}
