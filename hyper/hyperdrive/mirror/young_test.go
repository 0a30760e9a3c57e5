package mirror

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFreshFilesAreReadOnceTheyHaveSettled(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "fresh")
	if err := os.WriteFile(p, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	d := newDrive(t, nil)
	r, err := Import(t.Context(), dir, d, nil)
	noProblems(t, r, err)
	if since := time.Since(info.ModTime()); since < settleFine {
		t.Errorf("import ends %v after the file was modified", since)
	}
	if got := readDrive(t, d); got["fresh"] != "1" {
		t.Errorf("drive %q", got)
	}
}

func TestChangingFilesAreReadAgain(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	write := func(data string) {
		t.Helper()
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	var n node
	tries := 0
	err := withStable(p, &n, func(r io.Reader) error {
		if tries++; tries == 1 {
			write("22")
		}
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil || tries != 2 || n.size != 2 {
		t.Errorf("%d tries, size %d, %v", tries, n.size, err)
	}
	tries = 0
	err = withStable(p, &n, func(r io.Reader) error {
		tries++
		write(string(make([]byte, 10+tries)))
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if !errors.Is(err, ErrChanging) || tries != readTries {
		t.Errorf("%d tries, %v", tries, err)
	}
}
