package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// readAheadBytes bounds how much small content is read before it is stored.
const readAheadBytes = 16 << 20

// Import makes the drive like the folder dir. Small files are read by several
// workers and stored together; a file that changes while it is read is read
// again. Entries become visible in versions of at most Options.BatchEntries.
func Import(ctx context.Context, dir string, d *hyperdrive.Drive, opts *Options) (*Result, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if !d.Writable() {
		return nil, hyperdrive.ErrReadOnly
	}
	t := &tracker{opts: o}
	f, err := openFolder(dir, t)
	if err != nil {
		return nil, err
	}
	v, err := d.Snapshot()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	i := &importer{tracker: t, ctx: ctx, folder: f, drive: d, view: v, out: d.Batch(), pool: newReadPool(o.Workers)}
	defer i.out.Close()
	defer i.pool.close()
	if err := i.run(); err != nil {
		return nil, fmt.Errorf("import %s: %w", dir, err)
	}
	return &t.result, nil
}

// importer runs on one goroutine; only its pool reads beside it.
type importer struct {
	*tracker
	ctx    context.Context // of one call of Import
	folder *folder
	drive  *hyperdrive.Drive
	view   *hyperdrive.View // before the import
	out    *hyperdrive.Batch
	pool   *readPool

	queue      []*job // small files being read, in order
	queueBytes uint64
	young      []*job // files that may still change without showing it
}

// job is a file whose content has to be looked at.
type job struct {
	src, dst *node  // dst is nil if the drive does not have it
	cost     uint64 // size when it was listed

	// Set by the pool before done is closed.
	data []byte
	same bool // data is what the drive has
	err  error
	done chan struct{}
}

func (i *importer) run() error {
	for _, prefix := range i.opts.Prefixes {
		if err := merge(i.folder.nodes(prefix), i.driveNodes(i.ctx, i.view, prefix), i.visit); err != nil {
			return err
		}
	}
	if err := i.drain(0); err != nil {
		return err
	}
	if err := i.visitYoung(); err != nil {
		return err
	}
	return i.flush()
}

func (i *importer) flush() error {
	if i.opts.DryRun {
		return nil
	}
	return i.out.Flush(i.ctx)
}

// visit decides what to do about one path.
func (i *importer) visit(src, dst *node) error {
	if err := i.ctx.Err(); err != nil {
		return context.Cause(i.ctx)
	}
	if src == nil {
		return i.remove(dst)
	}
	if i.opts.Filter != nil && !i.opts.Filter(src.path) {
		return nil
	}
	i.result.Files++
	if src.isLink() {
		return i.visitLink(src, dst)
	}
	if dst != nil && !i.opts.Content && sameStat(src, dst) {
		i.op(Op{Kind: Equal, Path: src.path})
		i.looked(src.size)
		return nil
	}
	j := &job{src: src, dst: dst, cost: src.size, done: make(chan struct{})}
	if age := time.Since(src.modTime); age < settleTime(src.modTime) && age > -settleTime(src.modTime) {
		i.young = append(i.young, j)
		return nil
	}
	return i.start(j)
}

// sameStat tells whether two files are the same as far as can be told without
// their contents.
func sameStat(a, b *node) bool {
	return !a.isLink() && !b.isLink() && a.size == b.size && a.executable == b.executable &&
		!a.modTime.IsZero() && !b.modTime.IsZero() && sameTime(a.modTime, b.modTime)
}

func (i *importer) remove(dst *node) error {
	if i.opts.NoPrune || !i.folder.known(dst.path) {
		return nil
	}
	if err := i.drain(0); err != nil {
		return err
	}
	i.op(Op{Kind: Remove, Path: dst.path, BytesRemoved: dst.size})
	if i.opts.DryRun {
		return nil
	}
	return i.committed(dst.path, i.out.Remove(dst.entry))
}

func (i *importer) visitLink(src, dst *node) error {
	if err := i.drain(0); err != nil {
		return err
	}
	i.looked(0)
	if dst != nil && dst.link == src.link {
		i.op(Op{Kind: Equal, Path: src.path})
		return nil
	}
	i.op(changeOf(src, dst))
	if i.opts.DryRun {
		return nil
	}
	return i.committed(src.path, i.out.Symlink(src.path, src.link, i.putOptions(src, dst)))
}

func changeOf(src, dst *node) Op {
	if dst == nil {
		return Op{Kind: Add, Path: src.path, BytesAdded: src.size}
	}
	return Op{Kind: Change, Path: src.path, BytesAdded: src.size, BytesRemoved: dst.size}
}

// putOptions keeps the application's metadata of the entry that is replaced.
func (i *importer) putOptions(src, dst *node) *hyperdrive.PutOptions {
	p := &hyperdrive.PutOptions{Executable: src.executable}
	if i.drive.StoresTimes() {
		p.ModTime = src.modTime
	}
	if dst != nil {
		p.Metadata = dst.entry.Metadata
	}
	return p
}

// committed ends the version if it is long enough. A path that the drive cannot
// have is a problem of that path only.
func (i *importer) committed(path string, err error) error {
	if errors.Is(err, hyperdrive.ErrPath) {
		i.problem(path, fmt.Errorf("%w: %w", ErrName, err))
		return nil
	}
	if err != nil || i.out.Len() < i.opts.BatchEntries {
		return err
	}
	return i.flush()
}

// start hands a file to the pool, or stores it at once if it is large.
func (i *importer) start(j *job) error {
	if i.opts.DryRun && (j.dst == nil || j.dst.isLink() || j.dst.size != j.src.size) {
		i.looked(j.src.size)
		i.op(changeOf(j.src, j.dst))
		return nil
	}
	if j.src.size > hyperblobs.SmallSize {
		if err := i.drain(0); err != nil {
			return err
		}
		return i.large(j)
	}
	i.queue = append(i.queue, j)
	i.queueBytes += j.cost
	i.pool.submit(func() { i.readSmall(j) })
	return i.drain(readAheadBytes)
}

// drain stores files that were read until at most limit bytes and a number of
// files are in the queue.
func (i *importer) drain(limit uint64) error {
	for len(i.queue) > 0 && (limit == 0 || i.queueBytes > limit || len(i.queue) > 1024) {
		j := i.queue[0]
		i.queue[0] = nil
		i.queue = i.queue[1:]
		i.queueBytes -= j.cost
		select {
		case <-j.done:
		case <-i.ctx.Done():
			return context.Cause(i.ctx)
		}
		if err := i.small(j); err != nil {
			return err
		}
	}
	return nil
}

// visitYoung looks at the files that had just been modified, once another
// modification would show.
func (i *importer) visitYoung() error {
	for _, j := range i.young {
		wait := time.NewTimer(max(0, settleTime(j.src.modTime)-time.Since(j.src.modTime)))
		select {
		case <-wait.C:
		case <-i.ctx.Done():
			wait.Stop()
			return context.Cause(i.ctx)
		}
		if err := i.start(j); err != nil {
			return err
		}
	}
	return i.drain(0)
}
