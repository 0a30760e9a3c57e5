package mirror

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// readSmall reads a small file, and compares it if the drive's could be the
// same. It runs in the pool.
func (i *importer) readSmall(j *job) {
	defer close(j.done)
	if j.data, j.err = readStable(i.folder.local(j.src.path), j.src); j.err != nil {
		return
	}
	if j.dst == nil || j.dst.isLink() || j.dst.size != uint64(len(j.data)) {
		return
	}
	old, err := i.view.Content(i.ctx, j.dst.entry)
	j.same = err == nil && bytes.Equal(old, j.data)
}

// small stores a file that was read.
func (i *importer) small(j *job) error {
	switch {
	case vanished(j.err):
		return i.vanish(j)
	case j.err != nil:
		i.problem(j.src.path, j.err)
		return nil
	}
	j.src.size = uint64(len(j.data))
	i.copying(len(j.data))
	i.looked(j.src.size)
	if j.same {
		return i.sameContent(j)
	}
	i.op(changeOf(j.src, j.dst))
	if i.opts.DryRun {
		return nil
	}
	return i.committed(j.src.path, i.out.PutOwned(i.ctx, j.src.path, j.data, i.putOptions(j.src, j.dst)))
}

// vanish treats a file that is gone as if it had not been listed.
func (i *importer) vanish(j *job) error {
	i.result.Files--
	if j.dst == nil {
		return nil
	}
	return i.remove(j.dst)
}

// sameContent writes what differs beside the content.
func (i *importer) sameContent(j *job) error {
	e := *j.dst.entry
	e.Executable = j.src.executable
	if i.drive.StoresTimes() {
		e = *e.WithModTime(j.src.modTime)
	}
	if e.Executable == j.dst.executable && hyperdrive.SameMetadata(&e, j.dst.entry) {
		i.op(Op{Kind: Equal, Path: j.src.path})
		return nil
	}
	i.op(Op{Kind: Change, Path: j.src.path})
	if i.opts.DryRun {
		return nil
	}
	return i.committed(j.src.path, i.out.PutEntry(&e))
}

// large compares or stores a large file.
func (i *importer) large(j *job) error {
	plain := j.dst != nil && !j.dst.isLink() && j.dst.entry.Blob != nil && !j.dst.entry.Blob.BlockMap
	if j.dst != nil && j.dst.size == j.src.size && (plain || i.opts.DryRun) {
		same, err := i.sameLarge(j)
		switch {
		case i.ctx.Err() != nil:
			return context.Cause(i.ctx)
		case vanished(err):
			return i.vanish(j)
		case err != nil:
			i.problem(j.src.path, err)
			return nil
		case same:
			i.looked(j.src.size)
			return i.sameContent(j)
		case i.opts.DryRun:
			i.looked(j.src.size)
			i.op(changeOf(j.src, j.dst))
			return nil
		}
	}
	return i.storeLarge(j)
}

// sameLarge compares contents without keeping them in memory.
func (i *importer) sameLarge(j *job) (bool, error) {
	r, err := i.view.OpenEntry(i.ctx, j.dst.entry)
	if err != nil {
		return false, err
	}
	defer r.Close()
	same := false
	err = withStable(i.folder.local(j.src.path), j.src, func(f io.Reader) (err error) {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		same, err = sameBytes(f, r)
		return err
	})
	return same, err
}

// storeLarge stores a large file. Blocks of the previous version are shared; if
// all are, the content is the same.
func (i *importer) storeLarge(j *job) error {
	var base *hyperblobs.ID
	if j.dst != nil {
		base = j.dst.entry.Blob
	}
	blobs, err := i.drive.Blobs(i.ctx)
	if err != nil {
		return err
	}
	var w hyperblobs.Written
	err = withStable(i.folder.local(j.src.path), j.src, func(f io.Reader) (err error) {
		counted := io.TeeReader(f, countWriter(i.copying))
		w, err = blobs.Write(i.ctx, counted, &hyperblobs.WriteOptions{Base: base})
		var broken *storeError
		if err != nil && !errors.As(err, &broken) && i.ctx.Err() == nil && !isReadError(err) {
			err = &storeError{err}
		}
		return err
	})
	var broken *storeError
	switch {
	case errors.As(err, &broken):
		return broken.err
	case i.ctx.Err() != nil:
		return context.Cause(i.ctx)
	case vanished(err):
		return i.vanish(j)
	case err != nil:
		i.problem(j.src.path, err)
		return nil
	}
	if w.Size != j.src.size {
		i.problem(j.src.path, ErrChanging)
		return nil
	}
	i.looked(w.Size)
	if base != nil && w.ID == *base {
		return i.sameContent(j)
	}
	i.op(changeOf(j.src, j.dst))
	return i.committed(j.src.path, i.out.PutWritten(j.src.path, w, i.putOptions(j.src, j.dst)))
}
