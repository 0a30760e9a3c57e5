package mirror

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// node is a file or link of either side.
type node struct {
	path       string
	link       string // target, in the form of drives; empty for files
	executable bool
	size       uint64
	modTime    time.Time // zero if unknown

	entry *hyperdrive.Entry // in a drive
	info  fs.FileInfo       // in a folder
}

func (n *node) isLink() bool { return n.link != "" }

// driveNodes yields what a drive has at prefix and below.
func (t *tracker) driveNodes(ctx context.Context, v *hyperdrive.View, prefix string) iter.Seq2[*node, error] {
	return func(yield func(*node, error) bool) {
		for e, err := range v.Subtree(ctx, prefix) {
			if err != nil {
				yield(nil, err)
				return
			}
			if t.opts.Ignore != nil && t.opts.Ignore(e.Path) {
				continue
			}
			n, err := driveNode(ctx, v, e)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(n, nil) {
				return
			}
		}
	}
}

func driveNode(ctx context.Context, v *hyperdrive.View, e *hyperdrive.Entry) (*node, error) {
	size, err := v.Size(ctx, e)
	if err != nil {
		return nil, err
	}
	return &node{
		path: e.Path, link: e.Linkname, executable: e.Executable, size: size, modTime: e.Meta().ModTime, entry: e,
	}, nil
}

// merge walks two sequences in the order of paths and calls fn for each path
// with what the sides have there.
func merge(src, dst iter.Seq2[*node, error], fn func(src, dst *node) error) error {
	nextSrc, stopSrc := iter.Pull2(src)
	defer stopSrc()
	nextDst, stopDst := iter.Pull2(dst)
	defer stopDst()
	s, err := pull(nextSrc)
	if err != nil {
		return err
	}
	d, err := pull(nextDst)
	if err != nil {
		return err
	}
	for s != nil || d != nil {
		left, right := s, d
		switch {
		case d == nil || s != nil && s.path < d.path:
			right = nil
		case s == nil || d.path < s.path:
			left = nil
		}
		// Both sides move on before fn runs: a folder that cannot be read is
		// known before anything below it could be removed.
		if left != nil {
			if s, err = pullAfter(nextSrc, left); err != nil {
				return err
			}
		}
		if right != nil {
			if d, err = pullAfter(nextDst, right); err != nil {
				return err
			}
		}
		if err := fn(left, right); err != nil {
			return err
		}
	}
	return nil
}

func pull(next func() (*node, error, bool)) (*node, error) {
	n, err, ok := next()
	if !ok {
		return nil, nil
	}
	return n, err
}

func pullAfter(next func() (*node, error, bool), last *node) (*node, error) {
	n, err := pull(next)
	if err == nil && n != nil && n.path <= last.path {
		err = fmt.Errorf("mirror: %q comes after %q", n.path, last.path)
	}
	return n, err
}
