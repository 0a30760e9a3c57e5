package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// runner starts measured programs, one at a time.
type runner struct {
	tmp      string        // where programs make their temporary folders
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
	cmd.Env = append(os.Environ(), "NODE_PATH="+r.modules, "BENCH_TMP="+r.tmp, fmt.Sprintf("%s=%d", meter.StartVar, time.Now().UnixNano()))
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

// clean empties the folder for temporary folders: a program that was killed
// leaves its own behind.
func (r *runner) clean() error {
	if err := os.RemoveAll(r.tmp); err != nil {
		return err
	}
	return os.MkdirAll(r.tmp, 0o755)
}

// tail is the end of a text.
func tail(b []byte) []byte {
	const most = 2000
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-most):]
}
