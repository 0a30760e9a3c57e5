package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// runner starts measured programs, one at a time.
type runner struct {
	tmp      string        // where programs make their temporary folders
	kept     string        // where those with many files wait for finish
	modules  string        // node_modules
	timeout  time.Duration // of one program
	loopback bool          // programs with sockets get a network of their own
}

// run runs a program to its end and returns the lines it printed. The error of a
// failed program ends with the end of what it wrote to its standard error.
func (r *runner) run(ctx context.Context, c *command, net bool) ([]meter.Line, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("not done after %v", r.timeout))
	defer cancel()
	argv := c.argv
	switch {
	case c.loss > 0 && !(net && r.loopback):
		return nil, errors.New("packets get lost only in a network of its own, which takes the rights of the administrator")
	case net && r.loopback:
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv = append([]string{self, loopbackCommand, strconv.Itoa(c.loss)}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	isolate(cmd, net && r.loopback)
	if err := r.clean(); err != nil {
		return nil, err
	}
	settle()
	cmd.Env = append(os.Environ(), "NODE_PATH="+r.modules, "BENCH_TMP="+r.tmp, "BENCH_KEEP=1", fmt.Sprintf("%s=%d", meter.StartVar, time.Now().UnixNano()))
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var lines []meter.Line
	for b := range bytes.Lines(out.Bytes()) {
		if l, ok := meter.ParseLine(b); ok {
			lines = append(lines, l)
		}
	}
	if err == nil && len(lines) == 0 {
		err = errors.New("it printed no result")
	}
	if err != nil {
		return lines, fmt.Errorf("%s %v: %w\n%s", c.side, c.argv, err, tail(text.Bytes()))
	}
	return lines, errors.Join(err, r.clean())
}

// manyFiles is the number of files from which on a folder is kept until finish.
const manyFiles = 1000

// clean empties the folder for temporary folders. Those with many files are only
// moved away: ext4 avoids inodes that were freed in the last minutes and skips
// them one by one, so that whoever runs next would make files up to ten times
// slower, whatever program that is.
func (r *runner) clean() error {
	if err := os.MkdirAll(r.tmp, 0o755); err != nil {
		return err
	}
	list, err := os.ReadDir(r.tmp)
	if err != nil {
		return err
	}
	for _, d := range list {
		dir := filepath.Join(r.tmp, d.Name())
		if few(dir) {
			err = os.RemoveAll(dir)
		} else {
			err = r.keep(dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// few tells whether a folder has less than manyFiles files.
func few(dir string) bool {
	n := 0
	err := filepath.WalkDir(dir, func(string, fs.DirEntry, error) error {
		if n++; n >= manyFiles {
			return fs.SkipAll
		}
		return nil
	})
	return err == nil && n < manyFiles
}

func (r *runner) keep(dir string) error {
	if err := os.MkdirAll(r.kept, 0o755); err != nil {
		return err
	}
	to, err := os.MkdirTemp(r.kept, "")
	if err != nil {
		return err
	}
	return os.Rename(dir, filepath.Join(to, "run"))
}

// finish removes what clean has kept.
func (r *runner) finish() error { return os.RemoveAll(r.kept) }

// tail is the end of a text.
func tail(b []byte) []byte {
	const most = 2000
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-most):]
}
