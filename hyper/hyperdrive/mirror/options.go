package mirror

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// Errors in Result.Problems.
var (
	// ErrSpecial: the file is no regular file, folder or link.
	ErrSpecial = errors.New("mirror: special file")
	// ErrName: the other side cannot have a file of that name.
	ErrName = errors.New("mirror: impossible name")
	// ErrChanging: the file changed each time it was read. Try again later.
	ErrChanging = errors.New("mirror: file keeps changing")
	// ErrOutside: the link could lead out of the destination.
	ErrOutside = errors.New("mirror: link leads outside")
	// ErrCollision: two names are one on the destination's file system, or one
	// name is both a file and a folder.
	ErrCollision = errors.New("mirror: names collide")
)

// Kind is what happens to a path.
type Kind uint8

// Kinds of operations.
const (
	Add Kind = iota
	Change
	Remove
	Equal
)

func (k Kind) String() string { return [...]string{"add", "change", "remove", "equal"}[k] }

// Op is one difference. If only the executable bit, the time or the metadata
// differ, it is a Change of no bytes.
type Op struct {
	Kind Kind
	Path string // in the form of drives: "/a/b"
	// BytesAdded and BytesRemoved are content lengths.
	BytesAdded, BytesRemoved uint64
}

// Progress is how far the work has come.
type Progress struct {
	// Files and Bytes were looked at or copied so far. Bytes include those of
	// files that turned out to be the same.
	Files, Bytes uint64
	// Copied is how many bytes of them were read to be copied.
	Copied uint64
}

// Options configures all functions of the package. Nil means the defaults.
type Options struct {
	// DryRun finds the differences without applying them.
	DryRun bool
	// NoPrune leaves what the source does not have.
	NoPrune bool
	// IncludeEquals calls OnOp for files that are the same, too.
	IncludeEquals bool
	// Content compares contents even if size and time of modification are the
	// same.
	Content bool
	// Prefixes limits the work to these files and folders, on both sides.
	Prefixes []string
	// Base makes Export write what lies below this folder of the drive, as if the
	// folder were the drive's root. All other paths are then relative to it. Links
	// that lead out of it cannot be written. Other functions do not use it.
	Base string
	// Name makes Export write nothing but the file or link at Base, which may thus
	// be one, under this name in the folder. Prefixes are of no use then. If
	// nothing is at Base and NoPrune is not set, what has the name is removed.
	Name string
	// Ignore leaves paths alone on both sides; of a folder also all that is below
	// it. See [IgnorePaths].
	Ignore func(path string) bool
	// Filter limits what is copied, but not what is removed.
	Filter func(path string) bool
	// OutsideLinks lets Export write links that can lead out of the destination.
	OutsideLinks bool
	// Exclusive says that nobody else exports to the folder: what exports that were
	// killed left there is removed at once, and not only after an hour.
	Exclusive bool
	// BatchEntries is how many entries of a drive are written as one version.
	// Default 16384.
	BatchEntries int
	// Workers is how many files are read or written at the same time. Default 4.
	Workers int
	// OnOp is called for each operation before it is applied, in order.
	OnOp func(Op)
	// OnProgress is called often, from one goroutine at a time. It must return
	// quickly.
	OnProgress func(Progress)
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.BatchEntries <= 0 {
		c.BatchEntries = 16384
	}
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if len(c.Prefixes) == 0 {
		c.Prefixes = []string{""}
	}
	base, err := hyperdrive.CleanFolder(c.Base)
	if err != nil {
		return c, fmt.Errorf("base %q: %w", c.Base, err)
	}
	c.Base = base
	if c.Name != "" {
		if p, err := hyperdrive.Clean(c.Name); err != nil || p != "/"+c.Name || strings.Contains(c.Name, "/") {
			return c, fmt.Errorf("%w: %q", ErrName, c.Name)
		}
		if base == "" {
			return c, fmt.Errorf("the whole drive cannot be written as the file %q", c.Name)
		}
		c.Prefixes = []string{c.Name}
	}
	var clean []string
	for _, p := range c.Prefixes {
		folder, err := hyperdrive.CleanFolder(p)
		if err != nil {
			return c, fmt.Errorf("prefix %q: %w", p, err)
		}
		clean = append(clean, folder)
	}
	slices.Sort(clean)
	c.Prefixes = clean[:0]
	for _, p := range clean {
		// What lies below an earlier prefix is done with that.
		if !slices.ContainsFunc(c.Prefixes, func(q string) bool { return within(p, q) }) {
			c.Prefixes = append(c.Prefixes, p)
		}
	}
	return c, nil
}

// IgnorePaths returns a function for Options.Ignore that leaves the files and
// folders at paths alone.
func IgnorePaths(paths ...string) (func(path string) bool, error) {
	var clean []string
	for _, p := range paths {
		c, err := hyperdrive.Clean(p)
		if err != nil {
			return nil, err
		}
		clean = append(clean, c)
	}
	return func(path string) bool {
		return slices.ContainsFunc(clean, func(p string) bool { return within(path, p) })
	}, nil
}

// within tells whether path is folder or lies below it.
func within(path, folder string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || rest[0] == '/')
}

// Problem is a path that could not be mirrored.
type Problem struct {
	Path string
	Err  error
}

func (p Problem) Error() string { return p.Path + ": " + p.Err.Error() }

// Unwrap returns the error without the path.
func (p Problem) Unwrap() error { return p.Err }

// Result is what was done, or with DryRun what would be.
type Result struct {
	Files                    uint64 // in the source
	Added, Changed, Removed  uint64
	BytesAdded, BytesRemoved uint64
	Problems                 []Problem
}

// tracker collects the result and reports progress.
type tracker struct {
	opts Options

	mu       sync.Mutex // guards what follows
	result   Result
	progress Progress
}

func (t *tracker) problem(path string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Problems = append(t.result.Problems, Problem{path, err})
}

// looked reports a file that needs no copying, or has been copied.
func (t *tracker) looked(bytes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress.Files++
	t.progress.Bytes += bytes
	t.reportLocked()
}

// copying reports bytes on their way.
func (t *tracker) copying(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress.Copied += uint64(n)
	t.reportLocked()
}

func (t *tracker) reportLocked() {
	if t.opts.OnProgress != nil {
		t.opts.OnProgress(t.progress)
	}
}

// op counts an operation and tells about it.
func (t *tracker) op(o Op) {
	t.mu.Lock()
	switch o.Kind {
	case Add:
		t.result.Added++
	case Change:
		t.result.Changed++
	case Remove:
		t.result.Removed++
	}
	t.result.BytesAdded += o.BytesAdded
	t.result.BytesRemoved += o.BytesRemoved
	t.mu.Unlock()
	if t.opts.OnOp != nil && (o.Kind != Equal || t.opts.IncludeEquals) {
		t.opts.OnOp(o)
	}
}

// sameTime compares times of modification to the microsecond, the precision that
// is stored.
func sameTime(a, b time.Time) bool { return a.UnixMicro() == b.UnixMicro() }
