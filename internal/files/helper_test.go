package files

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
)

// patient is how long a test waits for something that has to happen.
const patient = time.Minute

// openLibrary opens the library of a folder until the test ends or close is
// called.
func openLibrary(t *testing.T, dir string) (l *Library, close func()) {
	t.Helper()
	store, err := corestore.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err = Open(t.Context(), store, nil)
	if err != nil {
		store.Close()
		t.Fatal(err)
	}
	closed := false
	close = func() {
		if closed {
			return
		}
		closed = true
		if err := l.Close(); err != nil {
			t.Errorf("close library: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	}
	t.Cleanup(close)
	return l, close
}

// files are contents by path.
type files map[string]string

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	for name, text := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		// What was changed just now is compared by content: that is tested
		// elsewhere.
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// wantDrive wants the newest version of a drive to hold these files.
func wantDrive(t *testing.T, s *Share, want files) {
	t.Helper()
	got := files{}
	for e, err := range s.handle.drive.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.handle.drive.Get(t.Context(), e.Path)
		if err != nil {
			t.Fatal(err)
		}
		got[e.Path[1:]] = string(b)
	}
	wantSame(t, "drive", got, want)
}

// wantFolder wants a folder to hold these files.
func wantFolder(t *testing.T, dir string, want files) {
	t.Helper()
	got := files{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		got[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "folder", got, want)
}

func wantSame(t *testing.T, what string, got, want files) {
	t.Helper()
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: %s is %.40q, want %.40q", what, name, got[name], text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: has %s too", what, name)
		}
	}
}

func share(t *testing.T, l *Library, path string) *Share {
	t.Helper()
	s, err := l.Share(t.Context(), ShareOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func imported(t *testing.T, s *Share) Imported {
	t.Helper()
	in, err := s.Import(t.Context(), false, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Problems) > 0 {
		t.Errorf("problems %v", in.Problems)
	}
	return in
}

// get writes a state of a drive to dest.
func get(ctx context.Context, l *Library, ref string, state State, dest string, overwrite bool) (Got, error) {
	p, err := l.Find(ref, "/")
	if err != nil {
		return Got{}, err
	}
	r, err := l.Read(ctx, p, state, patient)
	if err != nil {
		return Got{}, err
	}
	defer r.Close()
	return l.Get(r, GetOptions{Dest: dest, Overwrite: overwrite}, nil)
}
