package foldersync

import (
	"context"
	"sync"
)

// largeSize is the size from which on a file is put into the tree apart: reading and
// storing it takes so long that other changes must not wait for it.
const largeSize = 32 << 20

// largeAtOnce is how many large files are read at a time.
const largeAtOnce = 2

// postpone leaves a large file to the goroutine that has them, if there is one.
func (f *Folder) postpone(e edit, size uint64) bool {
	if e.apart || size < f.largeSize || f.watch.Load() == nil || f.large.len() >= maxDirty/2 {
		return false
	}
	f.large.add(e.path)
	return true
}

// largeLoop puts large files into the tree.
func (f *Folder) largeLoop(ctx context.Context, kick, marks chan<- struct{}) {
	var wg sync.WaitGroup
	defer wg.Wait()
	var mu sync.Mutex // guards what follows
	running := make(map[string]bool)
	failed := make(map[string]retry)
	slots := make(chan struct{}, largeAtOnce)
	wake := f.large.notify()
	for {
		paths := f.large.next(ctx, wake, nil)
		if paths == nil {
			return
		}
		for _, path := range paths {
			mu.Lock()
			known := running[path]
			running[path] = true
			mu.Unlock()
			if known {
				continue // it is looked at once more afterwards
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				err := f.pass(ctx, partLarge, func() error { return f.pushLarge(ctx, path) })
				mu.Lock()
				delete(running, path)
				wait := failed[path]
				delete(failed, path)
				if err != nil {
					f.large.after(path, wait.after(err))
					failed[path] = wait
				}
				mu.Unlock()
				<-slots
				signal(kick)
				signal(marks)
			})
		}
	}
}

// pushLarge puts one file into the tree. Other pushes go on while it is read: what they
// did to the path meanwhile counts, see [Folder.current].
func (f *Folder) pushLarge(ctx context.Context, path string) error {
	edits, err := f.scanLarge(ctx, path)
	if err != nil {
		return err
	}
	for _, e := range edits {
		if e.kind != kindFile {
			f.dirty.add(e.path) // it became something else
			continue
		}
		e.apart = true
		c, err := f.prepare(ctx, e)
		switch {
		case err != nil && isFile(err):
			f.unreadable(e, err)
			continue
		case err != nil:
			return err
		case c != nil:
			if err := f.commitLarge(ctx, c); err != nil {
				return err
			}
		}
		// What a push before the commit found gone had nothing to delete yet.
		f.dirty.add(e.path)
	}
	return nil
}

func (f *Folder) scanLarge(ctx context.Context, path string) ([]edit, error) {
	f.pushMu.Lock()
	defer f.pushMu.Unlock()
	if err := f.attach(); err != nil {
		return nil, err
	}
	edits, err := f.scanAll(ctx, []string{path})
	if len(edits) > 0 {
		f.progress.state(StateSending)
	}
	return edits, err
}

func (f *Folder) commitLarge(ctx context.Context, c *pending) error {
	f.pushMu.Lock()
	defer f.pushMu.Unlock()
	p := &pusher{f: f, ctx: ctx}
	if err := p.add(*c); err != nil {
		return err
	}
	return p.flush()
}
