package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/nodes"
)

// spaceChange changes a byte in a large file, and the name of a folder with many files, on
// one of two nodes that keep them equal. It prints the lines space-edit and space-rename,
// whose value is what went over the wire, both ways and with all headers.
func spaceChange(ctx context.Context, o IO, args []string) (err error) {
	f := o.flags("space-change")
	var s spaceFlags
	s.add(f)
	large := f.String("large", "", "`folder` with a large file, which is copied")
	many := f.String("many", "", "`folder` with many files, which is not changed")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, done, err := s.pair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	c := changes{io: o, pair: p}
	big, size, err := c.fill(*large, *many)
	if err != nil {
		return err
	}
	if err := p.Sync(ctx, p.B); err != nil {
		return err
	}
	if err := errors.Join(p.Sync(ctx, p.A), p.B.Await(ctx, c.entries)); err != nil {
		return err
	}
	at := size / 2
	old, err := byteAt(filepath.Join(p.B.Dir, big), at)
	if err != nil {
		return err
	}
	if err := c.one(ctx, "space-edit", meter.Fields{"bytes": size}, func() error { return setByte(filepath.Join(p.A.Dir, big), at, old+1) }, func() bool {
		now, err := byteAt(filepath.Join(p.B.Dir, big), at)
		return err == nil && now == old+1
	}); err != nil {
		return err
	}
	return c.one(ctx, "space-rename", meter.Fields{"files": c.files}, func() error {
		return os.Rename(filepath.Join(p.A.Dir, "many"), filepath.Join(p.A.Dir, "renamed"))
	}, func() bool {
		_, err := os.Lstat(filepath.Join(p.B.Dir, "many"))
		_, there := os.Lstat(filepath.Join(p.B.Dir, "renamed"))
		return err != nil && there == nil
	})
}

// changes are changes of one folder of a pair.
type changes struct {
	io   IO
	pair *nodes.Pair
	tree
}

// fill puts a large file and the folder "many" into the first folder.
func (c *changes) fill(large, many string) (name string, size int64, err error) {
	entries, err := os.ReadDir(large)
	if err != nil {
		return "", 0, err
	}
	if len(entries) != 1 {
		return "", 0, fmt.Errorf("%s has %d files, want one", large, len(entries))
	}
	name = entries[0].Name()
	if size, err = copyFile(filepath.Join(large, name), filepath.Join(c.pair.A.Dir, name)); err != nil {
		return "", 0, err
	}
	to := filepath.Join(c.pair.A.Dir, "many")
	if err := os.Mkdir(to, 0o755); err != nil {
		return "", 0, err
	}
	c.tree, err = linkTree(many, to)
	c.entries += 2
	return name, size, err
}

// one makes a change, waits until the other folder has it, and prints what that took.
func (c *changes) one(ctx context.Context, name string, params meter.Fields, change func() error, there func() bool) error {
	a, b, err := c.stored(ctx)
	if err != nil {
		return err
	}
	wire, err := c.still(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := change(); err != nil {
		return err
	}
	for !there() {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	took := time.Since(began)
	wire2, err := c.still(ctx)
	if err != nil {
		return err
	}
	a2, b2, err := c.stored(ctx)
	if err != nil {
		return err
	}
	if err := sameTrees(c.pair.A.Dir, c.pair.B.Dir); err != nil {
		return err
	}
	return c.io.print(name, float64(wire2-wire), "bytes", params, meter.Fields{"ms": meter.Ms(took),
		"stored_bytes": float64(max(a2-a, b2-b)), "stored_sender_bytes": float64(a2 - a), "stored_receiver_bytes": float64(b2 - b)})
}

// stored returns what both nodes have on disk. They do not run meanwhile.
func (c *changes) stored(ctx context.Context) (a, b int64, err error) {
	if err := c.pair.Close(); err != nil {
		return 0, 0, err
	}
	if a, err = c.pair.A.Stored(); err == nil {
		b, err = c.pair.B.Stored()
	}
	return a, b, errors.Join(err, c.pair.Start(ctx))
}

// still waits until both folders have nothing to do and the nodes exchange nothing any
// more, and returns what went over the wire.
func (c *changes) still(ctx context.Context) (wire uint64, err error) {
	const little = 5000 // bytes, of nodes that see whether the other is there
	for last := uint64(0); ; last = wire {
		if err := errors.Join(c.pair.A.Await(ctx, c.entries), c.pair.B.Await(ctx, c.entries)); err != nil {
			return 0, err
		}
		if wire, err = meter.LoopbackBytes(); err != nil || wire-last < little {
			return wire, err
		}
		if err := pause(ctx, 3*time.Second); err != nil { // longer than what a node puts off
			return 0, err
		}
	}
}

func byteAt(name string, at int64) (byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	return b[0], err
}

func setByte(name string, at int64, b byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{b}, at); err != nil {
		return err
	}
	return f.Close()
}

func copyFile(from, to string) (n int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	if n, err = io.Copy(out, in); err != nil {
		return n, err
	}
	return n, out.Close()
}
