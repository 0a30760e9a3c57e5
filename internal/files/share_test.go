package files

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestImportTakesOnlyWhatChanged(t *testing.T) {
	dir := t.TempDir()
	files{"a": "1", "sub/b": strings.Repeat("content ", 100_000), "c": "3"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	if in := imported(t, s); in.Added != 3 || in.Changed+in.Removed != 0 {
		t.Errorf("first import: %+v", in)
	}
	if in := imported(t, s); in.Added+in.Changed+in.Removed != 0 || in.Bytes != 0 {
		t.Errorf("nothing changed: %+v", in)
	}
	files{"a": "one"}.write(t, dir)
	if err := os.Rename(filepath.Join(dir, "c"), filepath.Join(dir, "sub", "d")); err != nil {
		t.Fatal(err)
	}
	if in := imported(t, s); in.Added != 1 || in.Changed != 1 || in.Removed != 1 || in.Bytes > 10_000 {
		t.Errorf("a change and a rename: %+v", in)
	}
	wantDrive(t, s, files{"a": "one", "sub/b": strings.Repeat("content ", 100_000), "sub/d": "3"})
}

func TestDryRunImportsNothing(t *testing.T) {
	dir := t.TempDir()
	files{"a": "1"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s, err := l.Share(t.Context(), ShareOptions{Path: dir, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var changes []Change
	if _, err := s.Import(t.Context(), true, func(c Change) { changes = append(changes, c) }, nil); err != nil {
		t.Fatal(err)
	}
	if len(changes) != 1 || changes[0] != (Change{Op: "add", Path: "/a", Size: 1}) {
		t.Errorf("changes %+v", changes)
	}
	if len(l.Records()) != 0 || s.Version() > 1 {
		t.Errorf("drives %v, version %d", l.Records(), s.Version())
	}
}

func TestIgnoredFilesLeaveTheDrive(t *testing.T) {
	dir := t.TempDir()
	files{"a.txt": "1", "b.log": "2", "deep/c.log": "3", ".git/config": "x"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	s := share(t, l, dir)
	imported(t, s)
	wantDrive(t, s, files{"a.txt": "1", "b.log": "2", "deep/c.log": "3"})
	files{IgnoreFile: "*.log\n!b.log\n"}.write(t, dir)
	if in := imported(t, s); in.Removed != 1 || in.Added != 1 {
		t.Errorf("import: %+v", in)
	}
	wantDrive(t, s, files{"a.txt": "1", "b.log": "2", IgnoreFile: "*.log\n!b.log\n"})
}

func TestSharingAgainFindsTheSameDrive(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	files{"a": "1"}.write(t, dir)
	l, closeFirst := openLibrary(t, home)
	s := share(t, l, dir)
	imported(t, s)
	link := s.Record.Link
	s.Close()
	closeFirst()

	l, _ = openLibrary(t, home)
	again := share(t, l, dir)
	if again.First || again.Record.Link != link {
		t.Errorf("a new drive: %+v", again.Record)
	}
	if in := imported(t, again); in.Added+in.Changed+in.Removed != 0 {
		t.Errorf("import: %+v", in)
	}
	if _, err := l.Share(t.Context(), ShareOptions{Path: dir, Encrypted: true}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("encrypted now: %v", err)
	}
	second, err := l.Share(t.Context(), ShareOptions{Path: dir, Encrypted: true, Name: "secret"})
	if err != nil || second.Record.Link == link || second.Record.EncryptionKey == nil {
		t.Fatalf("a second drive of it: %+v, %v", second, err)
	}
	second.Close()
	if _, err := l.Share(t.Context(), ShareOptions{Path: t.TempDir(), Name: "secret"}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a name that is taken: %v", err)
	}
	for _, name := range []string{"a/b", "..", "x@1", strings.Repeat("x", 201), s.Record.Key.String()} {
		if _, err := l.Share(t.Context(), ShareOptions{Path: t.TempDir(), Name: name}); fault.KindOf(err) != fault.Usage {
			t.Errorf("name %.30q: %v", name, err)
		}
	}
}

// follow runs a follower until the test ends; want waits for a state of the
// drive.
func follow(t *testing.T, s *Share) (want func(files)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f, err := s.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	imported(t, s)
	news, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- f.Run(ctx, func(Imported) {
			select {
			case news <- struct{}{}:
			default:
			}
		}, func(err error) { t.Errorf("import: %v", err) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("follower: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("close follower: %v", err)
		}
	})
	return func(want files) {
		t.Helper()
		late := time.After(patient)
		for !driveIs(t, s, want) {
			select {
			case <-news:
			case <-late:
				wantDrive(t, s, want)
				t.Fatal("the drive did not follow")
			}
		}
	}
}

func driveIs(t *testing.T, s *Share, want files) bool {
	t.Helper()
	n := 0
	for e, err := range s.handle.drive.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.handle.drive.Get(t.Context(), e.Path); err != nil || want[e.Path[1:]] != string(b) {
			return false
		}
		n++
	}
	return n == len(want)
}

func TestFollowerSeesRenamesAndNewFolders(t *testing.T) {
	dir := t.TempDir()
	files{"a": "1", "old/b": "2", "old/deep/c": "3"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	want := follow(t, share(t, l, dir))
	want(files{"a": "1", "old/b": "2", "old/deep/c": "3"})

	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	rename("a", "z")
	want(files{"z": "1", "old/b": "2", "old/deep/c": "3"})
	rename("old", "new")
	want(files{"z": "1", "new/b": "2", "new/deep/c": "3"})
	// Changes inside the renamed folder are still seen.
	files{"new/deep/d": "4", "new/b": "two"}.write(t, dir)
	want(files{"z": "1", "new/b": "two", "new/deep/c": "3", "new/deep/d": "4"})
	// A whole tree that appears at once, moved in from elsewhere.
	other := t.TempDir()
	files{"x/y/1": "5", "x/2": "6"}.write(t, other)
	if err := os.Rename(filepath.Join(other, "x"), filepath.Join(dir, "x")); err != nil {
		t.Fatal(err)
	}
	want(files{"z": "1", "new/b": "two", "new/deep/c": "3", "new/deep/d": "4", "x/y/1": "5", "x/2": "6"})
	if err := os.RemoveAll(filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	want(files{"z": "1", "x/y/1": "5", "x/2": "6"})
}

func TestFollowerOfOneFileSurvivesItsReplacement(t *testing.T) {
	dir := t.TempDir()
	files{"notes.txt": "first", "other": "not shared"}.write(t, dir)
	l, _ := openLibrary(t, t.TempDir())
	want := follow(t, share(t, l, filepath.Join(dir, "notes.txt")))
	want(files{"notes.txt": "first"})
	// As editors do: a new file takes the name.
	for _, text := range []string{"second", "third"} {
		files{"notes.txt.new": text}.write(t, dir)
		if err := os.Rename(filepath.Join(dir, "notes.txt.new"), filepath.Join(dir, "notes.txt")); err != nil {
			t.Fatal(err)
		}
		want(files{"notes.txt": text})
	}
}
