package hyperdrive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
)

// batchBytes is how much small content a batch keeps before it appends it.
const batchBytes = 2 << 20

// Batch collects changes that become visible together, as one version. Contents
// are appended as they come, or with the next ones if they are small; if the
// batch is not flushed they stay unused. Other writers are not held up before
// Flush. A Batch is not safe for concurrent use.
type Batch struct {
	d *Drive

	ops    []op
	byPath map[string]int // positions in ops; a later op on a path replaces the earlier

	pending   *hyperblobs.Batch
	pendingOf []*Entry // whose contents are in pending
}

// op is one change: an entry, or without one a removal.
type op struct {
	path  string
	entry *Entry
}

// Batch returns a new batch.
func (d *Drive) Batch() *Batch { return &Batch{d: d, byPath: make(map[string]int)} }

// Len returns the number of changes so far.
func (b *Batch) Len() int { return len(b.ops) }

// add records an op and returns its position.
func (b *Batch) add(path string, e *Entry) int {
	if i, ok := b.byPath[path]; ok {
		b.ops[i].entry = e
		return i
	}
	b.byPath[path] = len(b.ops)
	b.ops = append(b.ops, op{path, e})
	return len(b.ops) - 1
}

func (b *Batch) delKey(path string) { b.add(path, nil) }

// newEntry checks what is common to files and links.
func (b *Batch) newEntry(path string, opts *PutOptions) (*Entry, error) {
	clean, err := cleanNew(path)
	if err != nil {
		return nil, err
	}
	if !b.d.Writable() {
		return nil, ErrReadOnly
	}
	e := &Entry{Path: clean}
	if opts == nil {
		opts = &PutOptions{}
	}
	e.Executable = opts.Executable
	if e.Metadata, err = encodeMetadata(opts.Metadata); err != nil {
		return nil, fmt.Errorf("%s: %w", clean, err)
	}
	if !opts.ModTime.IsZero() {
		e.Metadata = Meta{ModTime: opts.ModTime}.with(e.Metadata)
	} else {
		e.Metadata = b.dropTimes(e.Metadata)
	}
	return e, nil
}

// dropTimes removes our members from given metadata, unless the drive does not
// write any.
func (b *Batch) dropTimes(metadata []byte) []byte {
	if b.d.opts.NoTimes {
		return metadata
	}
	return Meta{}.with(metadata)
}

// Put is [Drive.Put]. data may be reused afterwards.
func (b *Batch) Put(ctx context.Context, path string, data []byte, opts *PutOptions) error {
	if len(data) > hyperblobs.SmallSize {
		return b.PutFrom(ctx, path, bytes.NewReader(data), opts)
	}
	return b.PutOwned(ctx, path, bytes.Clone(data), opts)
}

// PutOwned is Put of data that the batch may keep until Flush, as one plain
// blob.
func (b *Batch) PutOwned(ctx context.Context, path string, data []byte, opts *PutOptions) error {
	e, err := b.newEntry(path, opts)
	if err != nil {
		return err
	}
	if b.pending == nil {
		blobs, err := b.d.Blobs(ctx)
		if err != nil {
			return err
		}
		b.pending = blobs.Batch()
	}
	b.pending.Add(data)
	b.pendingOf = append(b.pendingOf, e)
	b.add(e.Path, e)
	if b.pending.Bytes() >= batchBytes {
		return b.flushBlobs(ctx)
	}
	return nil
}

// flushBlobs appends the small contents that wait.
func (b *Batch) flushBlobs(ctx context.Context) error {
	if len(b.pendingOf) == 0 {
		return nil
	}
	ids, err := b.pending.Flush(ctx)
	if err != nil {
		return err
	}
	for i, e := range b.pendingOf {
		e.Blob = &ids[i]
	}
	b.pendingOf = b.pendingOf[:0]
	return nil
}

// PutFrom is [Drive.PutFrom].
func (b *Batch) PutFrom(ctx context.Context, path string, r io.Reader, opts *PutOptions) error {
	e, base, blobs, err := b.prepare(ctx, path, opts)
	if err != nil {
		return err
	}
	w, err := blobs.Write(ctx, r, &hyperblobs.WriteOptions{Base: base})
	if err != nil {
		return fmt.Errorf("write %s: %w", e.Path, err)
	}
	b.putWritten(e, w)
	return nil
}

// prepare finds what a large file needs: its entry to be, its previous content
// and the place of contents.
func (b *Batch) prepare(ctx context.Context, path string, opts *PutOptions) (e *Entry, base *hyperblobs.ID, blobs *hyperblobs.Blobs, err error) {
	if e, err = b.newEntry(path, opts); err != nil {
		return nil, nil, nil, err
	}
	if err := b.flushBlobs(ctx); err != nil {
		return nil, nil, nil, err
	}
	if blobs, err = b.d.Blobs(ctx); err != nil {
		return nil, nil, nil, err
	}
	old, err := b.d.entry(ctx, e.Path)
	switch {
	case err == nil:
		base = old.Blob
	case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrEntry):
		return nil, nil, nil, err
	}
	return e, base, blobs, nil
}

func (b *Batch) putWritten(e *Entry, w hyperblobs.Written) {
	e.Blob = &w.ID
	if w.ID.BlockMap && !b.d.opts.NoTimes {
		m := e.Meta()
		m.Size, m.HasSize = w.Size, true
		e.Metadata = m.with(e.Metadata)
	}
	b.add(e.Path, e)
}

// PutWritten makes what was written to the drive's contents the content of the
// file at path.
func (b *Batch) PutWritten(path string, w hyperblobs.Written, opts *PutOptions) error {
	e, err := b.newEntry(path, opts)
	if err != nil {
		return err
	}
	b.putWritten(e, w)
	return nil
}

// Remove removes an entry that the drive yielded, also one whose path could not
// be written.
func (b *Batch) Remove(e *Entry) error {
	if !b.d.Writable() {
		return ErrReadOnly
	}
	b.delKey(e.Path)
	return nil
}

// PutEntry is [Drive.PutEntry].
func (b *Batch) PutEntry(e *Entry) error {
	clean, err := cleanNew(e.Path)
	if err != nil {
		return err
	}
	if !b.d.Writable() {
		return ErrReadOnly
	}
	c := *e
	c.Path = clean
	if c.Metadata, err = encodeMetadata(e.Metadata); err != nil {
		return fmt.Errorf("%s: %w", clean, err)
	}
	b.add(clean, &c)
	return nil
}

// Symlink is [Drive.Symlink].
func (b *Batch) Symlink(path, target string, opts *PutOptions) error {
	e, err := b.newEntry(path, opts)
	if err != nil {
		return err
	}
	if target == "" || bytes.IndexByte([]byte(target), 0) >= 0 {
		return fmt.Errorf("%w: link target %q", ErrPath, target)
	}
	e.Linkname, e.Executable = target, false
	b.add(e.Path, e)
	return nil
}

// Del is [Drive.Del].
func (b *Batch) Del(path string) error {
	clean, err := Clean(path)
	if err != nil {
		return err
	}
	if !b.d.Writable() {
		return ErrReadOnly
	}
	b.delKey(clean)
	return nil
}

// Flush makes the changes visible and empties the batch, which can be used
// again. On an error nothing of it is visible.
func (b *Batch) Flush(ctx context.Context) error {
	if len(b.ops) == 0 {
		return nil
	}
	if !b.d.Writable() {
		return ErrReadOnly
	}
	if err := b.flushBlobs(ctx); err != nil {
		return err
	}
	defer b.Close()
	t := b.d.tree.Batch()
	defer t.Close()
	if err := b.write(ctx, t); err != nil {
		return fmt.Errorf("write %d entries: %w", len(b.ops), err)
	}
	if err := t.Flush(ctx); err != nil {
		return fmt.Errorf("write %d entries: %w", len(b.ops), err)
	}
	return nil
}

// write puts the ops into the tree's batch. With times, removals come first and
// a timed block last, which is how readers find the ends of versions.
func (b *Batch) write(ctx context.Context, t *hyperbee.Batch) error {
	if b.d.opts.NoTimes {
		for _, o := range b.ops {
			if err := writeOp(ctx, t, o); err != nil {
				return err
			}
		}
		return nil
	}
	for _, o := range b.ops {
		if o.entry == nil {
			if err := writeOp(ctx, t, o); err != nil {
				return err
			}
		}
	}
	at, err := b.d.commitTime(ctx)
	if err != nil {
		return err
	}
	timed := false
	for _, last := range [...]bool{false, true} {
		for _, o := range b.ops {
			// Metadata that is no object has no room for the time.
			if o.entry == nil || o.entry.canHold() != last {
				continue
			}
			timed = timed || last
			if err := writeOp(ctx, t, op{o.path, o.entry.stamped(at)}); err != nil {
				return err
			}
		}
	}
	if !timed && t.Len() > 0 {
		return t.Put(ctx, commitKey, appendCommit(nil, at), nil)
	}
	return nil
}

func writeOp(ctx context.Context, t *hyperbee.Batch, o op) error {
	key := appendKey(nil, o.path)
	if o.entry == nil {
		return t.Del(ctx, key, nil)
	}
	return t.Put(ctx, key, appendEntry(nil, o.entry), nil)
}

// canHold tells whether the metadata has room for our members.
func (e *Entry) canHold() bool { return len(e.Metadata) == 0 || e.Metadata[0] == '{' }

// stamped returns the entry as written at a time.
func (e *Entry) stamped(at time.Time) *Entry {
	c := *e
	m := e.Meta()
	if m.At = at; m.ModTime.IsZero() {
		m.ModTime = at
	}
	c.Metadata = m.with(e.Metadata)
	return &c
}

// Close drops changes that were not flushed. It may be called after Flush.
func (b *Batch) Close() error {
	b.ops, b.pending, b.pendingOf = nil, nil, nil
	clear(b.byPath)
	return nil
}
