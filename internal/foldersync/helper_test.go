package foldersync

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var onDisk = flag.String("disk", "", "an existing `folder` in which those in sync are made, to try disks of other kinds")

// box is a folder with its state, on a tree.
type box struct {
	*Folder
	t    testing.TB
	tree *memTree
	root string
	dir  string
	opts Options
	on   Tree // what the folder is on, if not a view of tree
}

func newBox(t testing.TB, tree *memTree, opts *Options) *box {
	t.Helper()
	return newBoxOn(t, tree, nil, opts)
}

func newBoxOn(t testing.TB, tree *memTree, on Tree, opts *Options) *box {
	t.Helper()
	place := t.TempDir()
	if *onDisk != "" {
		var err error
		place, err = os.MkdirTemp(*onDisk, "")
		must(t, err)
		t.Cleanup(func() { must(t, os.RemoveAll(place)) })
	}
	b := &box{t: t, tree: tree, on: on, root: filepath.Join(place, "folder"), dir: filepath.Join(t.TempDir(), "state")}
	if opts != nil {
		b.opts = *opts
	}
	must(t, os.MkdirAll(b.root, 0o755))
	b.open()
	t.Cleanup(func() { b.Folder.idx.abandon() })
	return b
}

func (b *box) open() {
	b.t.Helper()
	on := b.on
	if on == nil {
		on = b.tree.view()
	}
	f, err := Open(on, b.root, b.dir, &b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	f.step = 0 // files of tests are young
	b.Folder = f
}

// restart opens the folder again as after a crash.
func (b *box) restart() {
	b.t.Helper()
	b.Folder.idx.abandon()
	b.open()
}

func (b *box) once() {
	b.t.Helper()
	if err := b.Once(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) path(name string) string { return filepath.Join(b.root, filepath.FromSlash(name)) }

// write writes a file whose time is not of now.
func (b *box) write(name, text string) {
	b.t.Helper()
	must(b.t, os.MkdirAll(filepath.Dir(b.path(name)), 0o755), os.WriteFile(b.path(name), []byte(text), 0o644))
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// temporaries returns our files in a folder that have no name yet.
func (b *box) temporaries() (list []string) {
	b.t.Helper()
	must(b.t, filepath.WalkDir(b.root, func(name string, d fs.DirEntry, err error) error {
		if isTemporary(d.Name()) || isKept(d.Name()) {
			list = append(list, name)
		}
		return err
	}))
	return list
}

// texts returns what is in the folder: folders end in a slash. Without temporary files, which
// come and go.
func (b *box) texts() map[string]string {
	b.t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(b.root, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is live
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(b.root, name)
		if err != nil || rel == "." || rel == markerName || isTemporary(d.Name()) {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir():
			list[rel+"/"] = ""
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			list[rel] = "-> " + target
		case d.Type().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return nil
			}
			list[rel] = string(text)
		}
		return nil
	})
	must(b.t, err)
	return list
}

func (b *box) mtime(name string) time.Time {
	b.t.Helper()
	info, err := os.Lstat(b.path(name))
	must(b.t, err)
	return info.ModTime()
}

// wantEqual fails unless the two have the same.
func wantEqual(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[p]; !ok {
			t.Errorf("%s: %q is missing", what, p)
		} else if g != want[p] {
			t.Errorf("%s: %q is %.60q, want %.60q", what, p, g, want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok {
			t.Errorf("%s: %q is too much (%.60q)", what, p, got[p])
		}
	}
}
