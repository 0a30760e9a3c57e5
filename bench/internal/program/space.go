package program

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/nodes"
)

// spaceFlags are those of all programs with nodes.
type spaceFlags struct{ program string }

func (s *spaceFlags) add(f *flag.FlagSet) {
	f.StringVar(&s.program, "cloudpal", "", "the cloudpal `program`; default: built from this module")
}

// pair makes a pair of nodes in a folder of its own. done ends them.
func (s *spaceFlags) pair(ctx context.Context) (p *nodes.Pair, done func() error, err error) {
	tmp, remove, err := tempDir("space")
	if err != nil {
		return nil, nil, err
	}
	if s.program == "" {
		if s.program, err = nodes.Build(ctx, tmp); err != nil {
			remove()
			return nil, nil, err
		}
	}
	if p, err = nodes.NewPair(ctx, s.program, tmp); err != nil {
		remove()
		return nil, nil, err
	}
	return p, func() error {
		defer remove()
		return p.Close()
	}, nil
}

// spaceSync makes a folder appear on the second of two nodes that are up and connected.
// The clock runs from the command that keeps the folder of the first one equal with the
// space, while the second has an empty folder, until the second has everything. With
// --prepared the first has put the folder into the space before, and the clock runs from
// the command on the second. It prints the line space-sync.
func spaceSync(ctx context.Context, o IO, args []string) (err error) {
	f := o.flags("space-sync")
	var s spaceFlags
	s.add(f)
	src := f.String("src", "", "`folder` to sync, which is not changed")
	prepared := f.Bool("prepared", false, "the folder is in the space already, and the second node joins in")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, done, err := s.pair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	t, err := linkTree(*src, p.A.Dir)
	if err != nil {
		return err
	}
	first, second := p.B, p.A // in which order they begin
	if *prepared {
		first, second = p.A, p.B
	}
	if err := p.Sync(ctx, first); err != nil {
		return err
	}
	return firstSync(ctx, o, "space-sync", t, *prepared, p.A.PID(), p.B.PID(), syncing(ctx, p, second, t))
}

// syncing is the work of a pair that gets its second folder.
func syncing(ctx context.Context, p *nodes.Pair, second *nodes.Node, t tree) syncWork {
	began := make(chan error, 1)
	return syncWork{
		run: func() error {
			go func() { began <- p.Sync(ctx, second) }()
			return p.B.Await(ctx, t.entries)
		},
		check: func() error { return errors.Join(<-began, sameTrees(p.A.Dir, p.B.Dir)) },
	}
}

// syncWork is how a program makes a folder appear: what is measured, and what is checked
// afterwards.
type syncWork struct{ run, check func() error }

// firstSync measures two processes that make a folder appear, and prints the line.
func firstSync(ctx context.Context, o IO, name string, t tree, prepared bool, from, to int, w syncWork) error {
	// A node lets files alone that were changed just now. Those of people are older.
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	settle()
	wire, err := meter.LoopbackBytes()
	if err != nil {
		return err
	}
	a, err := meter.UsedBy(from)
	if err != nil {
		return err
	}
	b, err := meter.UsedBy(to)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := w.run(); err != nil {
		return err
	}
	took := time.Since(began)
	a2, err := meter.UsedBy(from)
	if err != nil {
		return err
	}
	b2, err := meter.UsedBy(to)
	if err != nil {
		return err
	}
	wire2, err := meter.LoopbackBytes()
	if err != nil {
		return err
	}
	settle()
	durable := time.Since(began)
	if err := w.check(); err != nil {
		return err
	}
	return o.print(name, float64(t.bytes)/1e6/took.Seconds(), "MB/s", meter.Fields{"bytes": t.bytes, "files": t.files, "prepared": prepared}, meter.Fields{
		"ms": meter.Ms(took), "durable_ms": meter.Ms(durable), "files_per_s": float64(t.files) / took.Seconds(), "wire_bytes": float64(wire2 - wire),
		"cpu_client_s": b2.CPU - b.CPU, "cpu_server_s": a2.CPU - a.CPU, "peak_rss_mb": b2.PeakRSS, "peak_rss_server_mb": a2.PeakRSS})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tree is what a folder holds.
type tree struct {
	files, entries int // entries are files and folders
	bytes          int64
}

// linkTree makes the files of one folder appear in another, which exists, without copying
// them. They must not be written to.
func linkTree(from, to string) (t tree, err error) {
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		t.entries++
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, rel), 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		t.files++
		t.bytes += info.Size()
		return os.Link(path, filepath.Join(to, rel))
	})
	return t, err
}

// sameTrees compares two folders with the contents of all files, but for what the programs
// put there for themselves.
func sameTrees(one, two string) error {
	count := func(dir string) (n int, err error) {
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == dir {
				return err
			}
			if own := d.Name() == ".stfolder" || d.Name() == ".cloudpal-folder"; own && filepath.Dir(path) == dir {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			n++
			if d.IsDir() || dir != one {
				return nil
			}
			return sameFiles(path, filepath.Join(two, path[len(one):]))
		})
		return n, err
	}
	n, err := count(one)
	if err != nil {
		return err
	}
	m, err := count(two)
	if err == nil && n != m {
		err = fmt.Errorf("%d files and folders in %s, %d in %s", n, one, m, two)
	}
	return err
}

func sameFiles(one, two string) error {
	a, err := os.Open(one)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(two)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("%s and %s differ", one, two)
		}
		if errA != nil || errB != nil {
			if ended(errA) && ended(errB) {
				return nil
			}
			return errors.Join(errA, errB)
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
