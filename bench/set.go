package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tradle/cloudpal/bench/internal/nodes"
	"github.com/tradle/cloudpal/bench/internal/workload"
)

// set is a folder of data that works need. It is made once and kept.
type set struct {
	path string
	make func(ctx context.Context, dir string) error
	once *sync.Once // if set, it is made once in each run of this program instead
}

// prepare makes the set if it is not there. A set that was made in part, because
// the program was interrupted, is made again.
func (s *set) prepare(ctx context.Context, say func(string)) error {
	if s.once != nil {
		var err error
		s.once.Do(func() { err = os.RemoveAll(s.path) })
		if err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	say("making " + s.path)
	part := s.path + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
		return err
	}
	if err := s.make(ctx, part); err != nil {
		return fmt.Errorf("make data set %s: %w", s.path, err)
	}
	return os.Rename(part, s.path)
}

// fileSet is a folder of generated files.
func fileSet(root, name string, f workload.Files) *set {
	return &set{path: filepath.Join(root, name), make: f.WriteTo}
}

// logSet is a log made by a side's core-append.
func logSet(r *runner, root, name string, appendTo command) *set {
	return &set{path: filepath.Join(root, appendTo.side, name), make: func(ctx context.Context, dir string) error {
		c := appendTo
		c.argv = append(c.argv[:len(c.argv):len(c.argv)], "--keep", dir)
		_, err := r.run(ctx, &c, false)
		return err
	}}
}

// programSet is the program itself, as it is now.
func programSet(root string) *set {
	return &set{path: filepath.Join(root, "program"), once: new(sync.Once), make: func(ctx context.Context, dir string) error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		_, err := nodes.Build(ctx, dir)
		return err
	}}
}
