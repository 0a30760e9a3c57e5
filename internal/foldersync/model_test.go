package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/internal/digest"
)

// contents returns what files on disk hold, our own temporary files included.
func (b *box) contents() map[string]bool {
	list := map[string]bool{}
	must(b.t, filepath.WalkDir(b.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == markerName {
			return err
		}
		text, err := os.ReadFile(name)
		list[string(text)] = true
		return err
	}))
	return list
}

// model is two people who change what they like in two folders on one tree.
type model struct {
	tree  *memTree // with all contents, and where faults come from
	forks []*fork  // nil: tree is what all are on
	boxes []*box
	n     int
	trace []string
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

// number returns the place of a folder in the model.
func (m *model) number(b *box) int { return slices.Index(m.boxes, b) }

var errCrash = errors.New("crash")

// user makes a random change to a folder.
func (m *model) user(rt *rapid.T, b *box) {
	names := []string{"a", "b", "c"}
	name := func(label string) string {
		depth := rapid.IntRange(1, 3).Draw(rt, label+" depth")
		p := ""
		for range depth {
			p = path.Join(p, rapid.SampledFrom(names).Draw(rt, label))
		}
		return p
	}
	p := name("path")
	m.n++
	text := fmt.Sprintf("content %d", m.n)
	what := rapid.SampledFrom([]string{"write", "write", "write", "append", "remove", "rename", "rename", "mkdir", "link", "chmod", "touch", "copy"}).Draw(rt, "what")
	to := p
	if what == "rename" || what == "copy" {
		to = name("to")
	}
	m.note("%d: %s %s %s %q", m.number(b), what, p, to, text)
	// What is impossible is not done.
	switch full := b.path(p); what {
	case "write":
		if os.MkdirAll(filepath.Dir(full), 0o755) == nil {
			if rapid.Bool().Draw(rt, "atomically") {
				_ = os.WriteFile(full+".swp~", []byte(text), 0o644)
				if os.Rename(full+".swp~", full) != nil {
					_ = os.Remove(full + ".swp~")
				}
			} else {
				_ = os.WriteFile(full, []byte(text), 0o644)
			}
		}
	case "append":
		if f, err := os.OpenFile(full, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = f.WriteString(text)
			_ = f.Close()
		}
	case "remove":
		_ = os.RemoveAll(full)
	case "rename":
		if os.MkdirAll(filepath.Dir(b.path(to)), 0o755) == nil {
			_ = os.Rename(full, b.path(to))
		}
	case "mkdir":
		_ = os.MkdirAll(full, 0o755)
	case "link":
		if os.MkdirAll(filepath.Dir(full), 0o755) == nil {
			_ = os.Symlink(text, full)
		}
	case "chmod":
		if info, err := os.Lstat(full); err == nil && info.Mode().IsRegular() {
			_ = os.Chmod(full, 0o600)
		}
	case "touch":
		if info, err := os.Lstat(full); err == nil && info.Mode().IsRegular() {
			_ = os.Chtimes(full, info.ModTime(), info.ModTime().Add(1))
		}
	case "copy":
		if data, err := os.ReadFile(full); err == nil {
			if os.MkdirAll(filepath.Dir(b.path(to)), 0o755) == nil {
				_ = os.WriteFile(b.path(to), data, 0o644)
			}
		}
	}
}

// step lets a folder sync, or a part of it, and perhaps crash, and checks that what was on
// disk is somewhere.
func (m *model) step(rt *rapid.T, b *box) {
	before := b.contents()
	m.tree.fail = nil
	crash := rapid.SampledFrom([]string{"", "", "", "commit", "after commit", "open", "lookup"}).Draw(rt, "crash")
	if crash != "" {
		var left atomic.Int64
		left.Store(rapid.Int64Range(0, 3).Draw(rt, "left"))
		m.tree.fail = func(op, path string) error {
			if op == crash && left.Add(-1) < 0 {
				return errCrash
			}
			return nil
		}
	}
	ctx := b.t.Context()
	what := rapid.SampledFrom([]string{"once", "once", "push", "pull"}).Draw(rt, "step")
	var err error
	switch what {
	case "once":
		err = b.Once(ctx)
	case "push":
		err = b.push(ctx, []string{""})
	case "pull":
		err = b.pull(ctx)
	}
	m.tree.fail = nil
	m.note("%d: sync %s, crash at %q: %v; tree %s", m.number(b), what, crash, err, slices.Sorted(maps.Keys(b.tree.texts(m.tree))))
	if err != nil && !errors.Is(err, errCrash) {
		rt.Fatalf("%s: %v", what, err)
	}
	if err != nil || rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
		var lost int64
		if rapid.Bool().Draw(rt, "power failure") {
			lost = 100
		}
		m.note("%d: restart, losing %d", m.number(b), lost)
		b.restartLosing(lost)
	}
	after := b.contents()
	for text := range before {
		if _, known := m.tree.contents[digest.Sum([]byte(text))]; !known && !after[text] {
			rt.Fatalf("%s\n%s lost %q", strings.Join(m.trace, "\n"), what, text)
		}
	}
}

// restartLosing opens the folder as after a power failure that left the file system as
// it was, but not the end of the index.
func (b *box) restartLosing(bytes int64) {
	b.Folder.idx.abandon()
	if bytes > 0 {
		name := b.Folder.idx.journalName(b.Folder.idx.gen)
		if info, err := os.Stat(name); err == nil {
			must(b.t, os.Truncate(name, max(0, info.Size()-bytes)))
		}
	}
	b.open()
}

func TestTwoFoldersConvergeOnOneTree(t *testing.T) { testConvergence(t, false) }

// Here each folder has the tree as its device knows it, and now and then the devices
// meet.
func TestTwoFoldersConvergeOnTheirForks(t *testing.T) { testConvergence(t, true) }

func testConvergence(t *testing.T, forks bool) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{tree: newMemTree()}
		for n := range 2 {
			if !forks {
				m.boxes = append(m.boxes, newBox(t, m.tree, nil))
				continue
			}
			f := newFork(m.tree, byte(n+1))
			m.forks = append(m.forks, f)
			m.boxes = append(m.boxes, newBoxOn(t, f.memTree, f, nil))
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			b := m.boxes[rapid.IntRange(0, len(m.boxes)-1).Draw(rt, "box")]
			for range rapid.IntRange(0, 4).Draw(rt, "changes") {
				m.user(rt, b)
			}
			m.step(rt, b)
			if rapid.IntRange(0, 2).Draw(rt, "meet") == 0 {
				m.meet(rt)
			}
		}
		m.settle(rt)
	})
}

// meet lets the devices tell each other what they know.
func (m *model) meet(rt *rapid.T) {
	if m.forks == nil {
		return
	}
	if err := exchange(m.forks[0], m.forks[1]); err != nil {
		rt.Fatal(err)
	}
	m.note("they meet: %s", slices.Sorted(maps.Keys(m.forks[0].texts(m.tree))))
}

// settle syncs until nothing changes and compares.
func (m *model) settle(rt *rapid.T) {
	for range 6 {
		m.meet(rt)
		for _, b := range m.boxes {
			before := b.contents()
			if err := b.Once(b.t.Context()); err != nil {
				rt.Fatal(err)
			}
			after := b.contents()
			for text := range before {
				if _, known := m.tree.contents[digest.Sum([]byte(text))]; !known && !after[text] {
					rt.Fatalf("lost %q", text)
				}
			}
		}
	}
	m.meet(rt)
	commits := m.commits()
	want := m.boxes[0].tree.texts(m.tree)
	for i, b := range m.boxes {
		b.once()
		if got := b.texts(); !maps.Equal(got, want) {
			for p := range want {
				if _, ok := got[p]; !ok {
					p = strings.TrimSuffix(p, "/")
					r, known, err := b.idx.get(p)
					m.note("%s: index %+v, %v, %v; pending %q; status %+v", p, r, known, err, b.idx.note(notePending), b.Status())
				}
			}
			rt.Fatalf("%s\nfolder %d: %s", strings.Join(m.trace, "\n"), i, differences(got, want))
		}
		if s := b.Status(); len(s.Problems) > 0 {
			rt.Fatalf("folder %d: problems %+v", i, s.Problems)
		}
		for e := range b.tree.Walk(b.t.Context()) {
			info, err := os.Lstat(b.path(e.Path))
			if err != nil {
				rt.Fatal(err)
			}
			if e.Kind != kindSymlink && info.Mode().Perm() != e.Mode || e.Kind != kindDir && !info.ModTime().Equal(e.Modified) {
				rt.Fatalf("folder %d: %s is %v of %v, want %v of %v", i, e.Path, info.Mode(), info.ModTime(), e.Mode, e.Modified)
			}
		}
	}
	if m.commits() != commits {
		rt.Fatalf("%s\n%d commits although nothing changed", strings.Join(m.trace, "\n"), m.commits()-commits)
	}
}

func (m *model) commits() (n int) {
	for _, b := range m.boxes {
		n += b.tree.commits
	}
	return n
}

func differences(got, want map[string]string) string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[p]; !ok || g != want[p] {
			fmt.Fprintf(&b, "\n%q is %q, want %q", p, g, want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok {
			fmt.Fprintf(&b, "\n%q is too much", p)
		}
	}
	return b.String()
}
