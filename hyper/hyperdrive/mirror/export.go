package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// exportChunk is how many changes are found before they are applied.
const exportChunk = 16384

// Export makes the folder dir like a state of a drive. The folder is made if it
// does not exist. Contents that are not held are fetched from peers.
func Export(ctx context.Context, v *hyperdrive.View, dir string, opts *Options) (*Result, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	fixed, err := v.Snapshot()
	if err != nil {
		return nil, err
	}
	defer fixed.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t := &tracker{opts: o}
	f, err := openFolder(dir, t)
	if err != nil {
		return nil, err
	}
	e := &exporter{tracker: t, ctx: ctx, view: fixed, folder: f, root: root}
	if err := e.run(); err != nil {
		return nil, fmt.Errorf("export to %s: %w", dir, err)
	}
	return &t.result, nil
}

type exporter struct {
	*tracker
	ctx    context.Context // of one call of Export
	view   *hyperdrive.View
	folder *folder
	root   *os.Root

	changes []change
	folds   map[string]string // paths by folded case, if the destination folds case
}

// change is something to do in the destination.
type change struct {
	op       Op
	src, dst *node
	touch    bool // only mode and time differ
}

func (e *exporter) run() error {
	names := e.view.Drive().Core()
	if length := e.view.Version(); !names.Has(0, length) {
		// All names are needed, and in one go they come faster.
		d := names.Download(hypercore.Range{Start: 0, End: length, Linear: true})
		defer d.Close()
	}
	if !e.opts.DryRun {
		folds, err := foldsCase(e.root)
		if err != nil {
			return err
		}
		if folds {
			e.folds = make(map[string]string)
		}
	}
	if !e.opts.NoPrune {
		// First, so that a file can take the place of a folder.
		if err := e.eachPrefix(e.prune); err != nil {
			return err
		}
	}
	if err := e.eachPrefix(e.visit); err != nil {
		return err
	}
	// Before the rest is written: what it removes may be large.
	if err := e.sweep(); err != nil {
		return err
	}
	return e.apply()
}

func (e *exporter) eachPrefix(fn func(src, dst *node) error) error {
	for _, prefix := range e.opts.Prefixes {
		if err := merge(e.source(prefix), e.folder.nodes(prefix), fn); err != nil {
			return err
		}
	}
	return nil
}

// source yields what the drive has at prefix and below, with Options.Base as
// the root; with Options.Name just what is at Base.
func (e *exporter) source(prefix string) iter.Seq2[*node, error] {
	base := e.opts.Base
	if e.opts.Name != "" {
		return e.single
	}
	if base == "" {
		return e.driveNodes(e.ctx, e.view, prefix)
	}
	whole := &tracker{opts: e.opts}
	whole.opts.Ignore = nil
	return func(yield func(*node, error) bool) {
		for n, err := range whole.driveNodes(e.ctx, e.view, base+prefix) {
			if err == nil {
				if n.path == base {
					continue // a file of the folder's name
				}
				n = rebased(n, base)
				if e.opts.Ignore != nil && e.opts.Ignore(n.path) {
					continue
				}
			}
			if !yield(n, err) || err != nil {
				return
			}
		}
	}
}

// single yields the file or link at Options.Base under Options.Name.
func (e *exporter) single(yield func(*node, error) bool) {
	entry, err := e.view.Entry(e.ctx, e.opts.Base)
	if errors.Is(err, hyperdrive.ErrNotFound) {
		return
	}
	if err != nil {
		yield(nil, err)
		return
	}
	n, err := driveNode(e.ctx, e.view, entry)
	if err != nil {
		yield(nil, err)
		return
	}
	n = rebased(n, strings.TrimSuffix(path.Dir(e.opts.Base), "/"))
	n.path = "/" + e.opts.Name
	if e.opts.Ignore == nil || !e.opts.Ignore(n.path) {
		yield(n, nil)
	}
}

// rebased returns the node with base as the root.
func rebased(n *node, base string) *node {
	c := *n
	c.path = n.path[len(base):]
	if strings.HasPrefix(n.link, "/") {
		target := path.Clean(n.link)
		if within(target, base) {
			c.link = "/" + strings.TrimPrefix(target[len(base):], "/")
		} else {
			c.link = "../" + strings.Repeat("../", strings.Count(c.path, "/")) + target[1:] // leads outside
		}
	}
	return &c
}

// prune removes what the drive does not have.
func (e *exporter) prune(src, dst *node) error {
	if err := e.ctx.Err(); err != nil {
		return context.Cause(e.ctx)
	}
	if src != nil {
		return nil
	}
	e.op(Op{Kind: Remove, Path: dst.path, BytesRemoved: dst.size})
	if e.opts.DryRun {
		return nil
	}
	name := dst.path[1:]
	if err := e.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		e.problem(dst.path, err)
		return nil
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if e.root.Remove(dir) != nil {
			break // not empty
		}
	}
	return nil
}

// visit finds out what to do about a path of the drive.
func (e *exporter) visit(src, dst *node) error {
	if err := e.ctx.Err(); err != nil {
		return context.Cause(e.ctx)
	}
	if src == nil || e.opts.Filter != nil && !e.opts.Filter(src.path) {
		return nil
	}
	e.result.Files++
	if err := e.allowed(src); err != nil {
		e.problem(src.path, err)
		return nil
	}
	same, err := e.same(src, dst)
	if err != nil {
		if e.ctx.Err() != nil {
			return context.Cause(e.ctx)
		}
		e.problem(src.path, err)
		return nil
	}
	if same {
		e.op(Op{Kind: Equal, Path: src.path})
		e.looked(src.size)
		return nil
	}
	c := change{op: changeOf(src, dst), src: src, dst: dst}
	if dst != nil && e.sameContent(src, dst) {
		c.touch, c.op.BytesAdded, c.op.BytesRemoved = true, 0, 0
	}
	e.changes = append(e.changes, c)
	if len(e.changes) >= exportChunk {
		return e.apply()
	}
	return nil
}

// allowed refuses what must not or cannot be written.
func (e *exporter) allowed(n *node) error {
	if !hyperdrive.ValidPath(n.path) {
		return fmt.Errorf("%w: %q", ErrName, n.path)
	}
	if err := localName(n.path); err != nil {
		return err
	}
	if isTemporary(path.Base(n.path)) {
		return fmt.Errorf("%w: reserved for temporary files", ErrName)
	}
	if e.folds != nil {
		folded := strings.ToLower(n.path)
		if other, taken := e.folds[folded]; taken {
			return fmt.Errorf("%w: with %s", ErrCollision, other)
		}
		e.folds[folded] = n.path
	}
	if n.isLink() && !e.opts.OutsideLinks {
		return checkLink(n.path, n.link)
	}
	return nil
}

// same tells whether the destination needs no change.
func (e *exporter) same(src, dst *node) (bool, error) {
	switch {
	case dst == nil:
		return false, nil
	case src.isLink() || dst.isLink():
		return src.link == dst.link, nil
	case !e.opts.Content && sameStat(src, dst):
		return true, nil
	case src.size != dst.size || src.executable != dst.executable:
		return false, nil
	case !src.modTime.IsZero() && !sameTime(src.modTime, dst.modTime):
		return false, nil
	}
	return e.equalContent(src, dst)
}

// sameContent tells whether only mode or time differ.
func (e *exporter) sameContent(src, dst *node) bool {
	if src.isLink() || dst.isLink() || src.size != dst.size {
		return false
	}
	same, err := e.equalContent(src, dst)
	return err == nil && same
}

func (e *exporter) equalContent(src, dst *node) (same bool, err error) {
	r, err := e.view.OpenEntry(e.ctx, src.entry)
	if err != nil {
		return false, err
	}
	defer r.Close()
	f, err := openRegular(e.folder.local(dst.path))
	if err != nil {
		return false, err
	}
	defer f.Close()
	return sameBytes(f, io.Reader(r))
}

// sweep removes temporary files that an export left behind. Young ones may be of
// one that runs, unless there is no other.
func (e *exporter) sweep() error {
	if e.opts.DryRun || e.opts.NoPrune && !e.opts.Exclusive {
		return nil
	}
	leftovers := e.folder.leftovers
	if e.opts.Exclusive {
		// Beside a single file nothing else was looked at.
		for _, prefix := range e.opts.Prefixes {
			if dir := path.Dir(prefix); prefix != "" && dir != "." {
				leftovers = append(leftovers, e.temporaries(strings.TrimPrefix(dir, "/"))...)
			}
		}
	}
	for _, name := range leftovers {
		info, err := e.root.Lstat(name)
		if err == nil && info.Mode().IsRegular() && (e.opts.Exclusive || time.Since(info.ModTime()) > time.Hour) {
			err = e.root.Remove(name)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			e.problem("/"+name, err)
		}
	}
	return nil
}

// temporaries returns the temporary files in a folder of the destination.
func (e *exporter) temporaries(dir string) (names []string) {
	list, _ := fs.ReadDir(e.root.FS(), path.Join(".", dir)) // a folder that is not there has none
	for _, d := range list {
		if isTemporary(d.Name()) {
			names = append(names, path.Join(dir, d.Name()))
		}
	}
	return names
}
