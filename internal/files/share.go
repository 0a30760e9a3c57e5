package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/internal/fault"
)

// Progress is how far work has come. Totals are 0 while unknown.
type Progress struct {
	Phase             string // "import", "download" or "write"
	Files, TotalFiles uint64
	Bytes, TotalBytes uint64
	Peers             int
}

// ShareOptions says what to share; see api.ShareRequest.
type ShareOptions struct {
	Path      string
	Name      string
	Encrypted bool
	Ignore    []string
	DryRun    bool
}

// Share is a drive that follows a file or folder. It must be closed.
type Share struct {
	Record Record
	// First tells that the drive was made by this call.
	First bool

	l       *Library
	handle  *handle
	release func()
}

// Imported is the result of one import.
type Imported struct {
	Version                  uint64
	Added, Changed, Removed  uint64
	Bytes                    uint64 // appended to both logs
	Problems                 []mirror.Problem
	Files                    uint64
	changedSomething, dryRun bool
}

// Share opens the drive that follows a path, or makes one. It imports nothing
// yet.
func (l *Library) Share(ctx context.Context, o ShareOptions) (*Share, error) {
	path, err := filepath.EvalSymlinks(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, "there is no file or folder %s", o.Path)
	case err != nil:
		return nil, fmt.Errorf("share: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("share: %w", err)
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, fault.New(fault.Usage, "%s is neither a file nor a folder", o.Path)
	}
	if _, err := ignoreList(path, o.Ignore); err != nil {
		return nil, fault.Wrap(fault.Usage, err)
	}
	if inside(path, l.opts.Home) {
		return nil, fault.New(fault.Usage, "%s is part of cloudpal's own data", o.Path)
	}
	r, found := l.registry.find(func(c Record) bool { return c.Path == path && (o.Name == "" || c.Name == o.Name) })
	if found {
		return l.shareAgain(ctx, r, o)
	}
	return l.shareNew(ctx, path, o)
}

func (l *Library) shareAgain(ctx context.Context, r Record, o ShareOptions) (*Share, error) {
	if o.Encrypted && r.EncryptionKey == nil {
		return nil, fault.New(fault.Conflict, "%s is shared already, without encryption, as %q", o.Path, r.Name).
			Hint("for a second, encrypted drive of it choose a name: cloudpal share --encrypted --name %s %s", fault.Word(r.Name+"-encrypted"), fault.Word(o.Path))
	}
	if len(o.Ignore) > 0 {
		r.Ignore = o.Ignore
		if err := l.registry.update(ctx, r.Key, func(c *Record) { c.Ignore = o.Ignore }); err != nil {
			return nil, explain(ctx, err)
		}
	}
	h, release, err := l.acquire(ctx, r)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return &Share{Record: r, l: l, handle: h, release: release}, nil
}

func (l *Library) shareNew(ctx context.Context, path string, o ShareOptions) (*Share, error) {
	name := o.Name
	if name == "" {
		name = cleanName(filepath.Base(path))
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	if l.registry.damage != nil {
		return nil, l.registry.damage
	}
	if _, taken := l.registry.byName(name); taken && o.Name != "" {
		return nil, fault.New(fault.Conflict, "the name %q belongs to another drive", name).Hint("choose another with --name")
	}
	r := Record{Name: name, Space: randomText(), Path: path, Ignore: o.Ignore, Added: time.Now().UTC().Truncate(time.Second)}
	if o.Encrypted {
		r.EncryptionKey = new(hypercrypto.EncryptionKey)
		rand.Read(r.EncryptionKey[:]) // never fails
	}
	// The drive's key exists only once it was opened.
	d, closeDrive, err := l.openDrive(ctx, r)
	if err != nil {
		return nil, explain(ctx, err)
	}
	r.Key = d.Key()
	if err := closeDrive(); err != nil {
		return nil, explain(ctx, err)
	}
	r.Link = linkTo(r.Key, r.EncryptionKey)
	if !o.DryRun {
		if r, err = l.registry.add(ctx, r, o.Name != ""); err != nil {
			return nil, explain(ctx, err)
		}
	}
	h, release, err := l.acquire(ctx, r)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return &Share{Record: r, First: true, l: l, handle: h, release: release}, nil
}

func randomText() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Close releases the drive.
func (s *Share) Close() { s.release() }

// Version returns the newest version.
func (s *Share) Version() uint64 { return s.handle.drive.Version() }

// Peers returns how many peers have the drive open.
func (s *Share) Peers() int { return len(s.handle.drive.Core().Peers()) }

// Import makes the drive what the path is now, as one new version if anything
// differs. report may be nil.
func (s *Share) Import(ctx context.Context, dryRun bool, onChange func(Change), report func(Progress)) (Imported, error) {
	unlock, err := s.handle.lock(ctx)
	if err != nil {
		return Imported{}, explain(ctx, err)
	}
	defer unlock()
	count, done := s.count(ctx)
	defer done()
	m := &mirror.Options{DryRun: dryRun}
	if report != nil {
		m.OnProgress = func(p mirror.Progress) {
			report(Progress{Phase: "import", Files: p.Files, Bytes: max(p.Bytes, p.Copied), TotalFiles: count.files.Load(), TotalBytes: count.bytes.Load(), Peers: s.Peers()})
		}
	}
	return s.importLocked(ctx, m, onChange)
}

// importLocked imports what m says. The drive must be locked.
func (s *Share) importLocked(ctx context.Context, m *mirror.Options, onChange func(Change)) (Imported, error) {
	d := s.handle.drive
	filter, err := s.filter()
	if err != nil {
		return Imported{}, fault.Wrap(fault.Usage, err)
	}
	before := d.Version()
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return Imported{}, explain(ctx, err)
	}
	size := d.Core().ByteLength() + blobs.Core().ByteLength()
	dropped, err := s.dropIgnored(ctx, filter, m, onChange)
	if err != nil {
		return Imported{}, explain(ctx, err)
	}
	dir := s.Record.Path
	if isFile(dir) {
		m.Prefixes = []string{"/" + filepath.Base(dir)}
		dir = filepath.Dir(dir)
	}
	m.Ignore = filter.ignore
	m.OnOp = func(op mirror.Op) {
		if onChange != nil {
			onChange(Change{Op: op.Kind.String(), Path: op.Path, Size: op.BytesAdded, SizeBefore: op.BytesRemoved})
		}
	}
	result, err := mirror.Import(ctx, dir, d, m)
	if err != nil {
		return Imported{}, explain(ctx, err)
	}
	in := Imported{
		Version: d.Version(), Added: result.Added, Changed: result.Changed, Removed: result.Removed + dropped, Files: result.Files,
		Bytes: d.Core().ByteLength() + blobs.Core().ByteLength() - size, Problems: result.Problems, dryRun: m.DryRun,
	}
	in.changedSomething = in.Version != before
	return in, nil
}

// dropIgnored removes from the drive what patterns keep out by now. The mirror
// leaves such paths alone.
func (s *Share) dropIgnored(ctx context.Context, f *filter, m *mirror.Options, onChange func(Change)) (n uint64, err error) {
	d := s.handle.drive
	b := d.Batch()
	defer b.Close()
	for e, err := range d.List(ctx, "") {
		if err != nil {
			if e != nil && errors.Is(err, hyperdrive.ErrEntry) {
				continue
			}
			return 0, err
		}
		if !f.list.Match(e.Path, false) {
			continue
		}
		n++
		if onChange != nil {
			onChange(Change{Op: "remove", Path: e.Path})
		}
		if err := b.Del(e.Path); err != nil {
			return 0, err
		}
	}
	if m.DryRun {
		return n, nil
	}
	return n, b.Flush(ctx)
}

// counts is what an import will look at.
type counts struct{ files, bytes atomic.Uint64 }

// count walks the path beside the import, so that progress has totals.
func (s *Share) count(ctx context.Context) (c *counts, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	c = &counts{}
	var wg sync.WaitGroup
	wg.Go(func() {
		f, err := s.filter()
		if err != nil {
			return
		}
		var files, bytes uint64
		for path, info := range f.walk(ctx) {
			if info.IsDir() || path == "" && f.folder {
				continue
			}
			files++
			bytes += uint64(info.Size())
		}
		if ctx.Err() == nil {
			c.files.Store(files)
			c.bytes.Store(bytes)
		}
	})
	return c, func() { cancel(); wg.Wait() }
}

// inside tells whether path is dir or lies in it.
func inside(path, dir string) bool {
	if dir == "" {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && (rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)))
}

// Traffic calls fn for every block that a peer gets, and with 0 when a peer
// comes or goes, until cancel is called. fn must not block.
func (s *Share) Traffic(fn func(bytes uint64)) (cancel func()) {
	observe := func(e hypercore.Event) {
		switch e.Type {
		case hypercore.EventUpload:
			fn(uint64(e.Bytes))
		case hypercore.EventPeerAdd, hypercore.EventPeerRemove:
			fn(0)
		}
	}
	d := s.handle.drive
	stopNames, stopContents := d.Core().Events(observe), func() {}
	if blobs, err := d.Blobs(context.Background()); err == nil {
		stopContents = blobs.Core().Events(observe)
	}
	return func() { stopNames(); stopContents() }
}
