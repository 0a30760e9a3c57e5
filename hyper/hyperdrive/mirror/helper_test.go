package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// newDrive returns an empty drive that can be written.
func newDrive(t testing.TB, opts *hyperdrive.Options) *hyperdrive.Drive {
	t.Helper()
	s, err := corestore.Open(t.Context(), t.TempDir(), &corestore.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := hyperdrive.Open(t.Context(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// writeTree writes files, links ("-> target") and nothing else below dir. Files
// are from yesterday, so that imports need not wait for them to settle.
func writeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if len(data) > 3 && data[:3] == "-> " {
			if err := os.Symlink(data[3:], p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		yesterday(t, p)
	}
}

func yesterday(t testing.TB, p string) {
	t.Helper()
	old := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(p, old, old); err != nil {
		t.Fatal(err)
	}
}

// readTree returns what is below dir in the form of writeTree.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.Type() == os.ModeSymlink {
			target, err := os.Readlink(p)
			files[filepath.ToSlash(rel)] = "-> " + target
			return err
		}
		data, err := os.ReadFile(p)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readDrive(t testing.TB, d *hyperdrive.Drive) map[string]string {
	t.Helper()
	files := map[string]string{}
	for e, err := range d.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := d.Content(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		files[e.Path[1:]] = string(data)
		if e.IsLink() {
			files[e.Path[1:]] = "-> " + e.Linkname
		}
	}
	return files
}

// noProblems fails the test for each problem.
func noProblems(t testing.TB, r *Result, err error) *Result {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("problem: %v", p)
	}
	return r
}
