package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildCloudpal returns the path of the program, built once from this repository.
func buildCloudpal(t testing.TB) string {
	t.Helper()
	path, err := builtCloudpal()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builtCloudpal = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cloudpal-interop-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cloudpal")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/cloudpal")
	cmd.Dir = filepath.Dir(interopDir())
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build` does
	out, err := cmd.CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// Cloudpal is the program, running with --json and a data folder of its own.
type Cloudpal struct {
	home   string
	cmd    *exec.Cmd
	out    *bufio.Scanner
	stderr bytes.Buffer
}

// startCloudpal runs the program until it ends or the test does.
func startCloudpal(t testing.TB, home string, args ...string) *Cloudpal {
	t.Helper()
	c := &Cloudpal{home: home, cmd: exec.Command(buildCloudpal(t), append(args, "--json")...)}
	c.cmd.Env = append(os.Environ(), "CLOUDPAL_HOME="+home)
	c.cmd.Stderr = &c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 1<<20)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
	return c
}

// Wait returns the next event of a type that ok accepts; nil accepts all.
func (c *Cloudpal) Wait(t testing.TB, kind string, ok func(Event) bool) Event {
	t.Helper()
	late := time.AfterFunc(3*patience, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	var seen []string
	for c.out.Scan() {
		seen = append(seen, c.out.Text())
		var e Event
		if err := json.Unmarshal(c.out.Bytes(), &e); err != nil {
			t.Fatalf("line %q: %v", c.out.Text(), err)
		}
		if e.Str("type") == kind && (ok == nil || ok(e)) {
			return e
		}
	}
	t.Fatalf("cloudpal ended without the event %s; it said\n%s\n%s", kind, strings.Join(seen, "\n"), &c.stderr)
	return nil
}

// Interrupt presses Ctrl-C and wants a normal end.
func (c *Cloudpal) Interrupt(t testing.TB) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	c.End(t)
}

// End waits for a normal end.
func (c *Cloudpal) End(t testing.TB) {
	t.Helper()
	for c.out.Scan() {
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("cloudpal ends with %v: %s", err, &c.stderr)
	}
}

// writeFiles makes a folder of files.
func writeFiles(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for p, b := range files {
		name := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(p, ".bin") {
			mode = 0o755
		}
		if err := os.WriteFile(name, b, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// holds tells whether a folder has these files and no others, links aside.
func holds(dir string, files map[string][]byte) bool {
	found := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		want, ok := files["/"+filepath.ToSlash(rel)]
		if got, err := os.ReadFile(name); err != nil || !ok || !bytes.Equal(got, want) {
			return fs.SkipAll
		}
		found++
		return nil
	})
	return err == nil && found == len(files)
}

// wantFolder wants a folder to hold these files and links and nothing else.
func wantFolder(t testing.TB, dir string, files map[string][]byte, links map[string]string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		p := "/" + filepath.ToSlash(rel)
		if target, ok := links[p]; ok {
			if got, err := os.Readlink(name); err != nil || got != target {
				t.Errorf("%s leads to %q, want %q: %v", p, got, target, err)
			}
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		got, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		want, ok := files[p]
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, want %d (known: %v)", p, len(got), len(want), ok)
		}
		info, err := d.Info()
		if err == nil && (info.Mode()&0o100 != 0) != strings.HasSuffix(p, ".bin") {
			t.Errorf("%s has the mode %v", p, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found != len(files)+len(links) {
		t.Errorf("%s holds %d files, want %d", dir, found, len(files)+len(links))
	}
}
