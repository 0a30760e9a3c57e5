package hypercore

import (
	"context"
)

// updateWait is a caller of Update.
type updateWait struct {
	length, fork uint64
	changed      bool
	done         chan struct{}
	closed       bool
}

func (w *updateWait) finish(changed bool) {
	if !w.closed {
		w.closed, w.changed = true, changed
		close(w.done)
	}
}

// Update waits until the log is as new as its peers can make it, and tells
// whether it changed. Without peers, and without anybody looking for some (see
// [Core.FindingPeers]), it returns false at once; so it does on a log that this
// handle writes, and on snapshots and branches.
func (c *Core) Update(ctx context.Context) (changed bool, err error) {
	if err := c.open(); err != nil {
		return false, err
	}
	if c.pinned() || c.Writable() {
		return false, nil
	}
	r := c.log.repl
	h := c.log.state()
	w := &updateWait{length: h.Length, fork: h.Fork, done: make(chan struct{})}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return false, ErrClosed
	}
	r.updates[w] = struct{}{}
	r.pump()
	for _, p := range r.peers {
		p.checkReorg()
	}
	r.resolveUpdates()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.updates, w)
	}()
	if err := c.wait(ctx, w.done); err != nil {
		return false, err
	}
	if err := c.log.usable(); err != nil {
		return w.changed, err
	}
	return w.changed, nil
}

// FindingPeers tells Update that peers are being looked for, so that it does
// not give up before they had the time to come, until done is called.
func (c *Core) FindingPeers() (done func()) {
	r := c.log.repl
	r.mu.Lock()
	r.finding++
	r.mu.Unlock()
	called := false
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if called {
			return
		}
		called = true
		r.finding--
		r.resolveUpdates()
	}
}

// peersAsked is how many peers have to say that they have nothing newer.
const peersAsked = 3

// resolveUpdates ends the waits that have an answer. repl.mu is held.
func (r *replicator) resolveUpdates() {
	if len(r.updates) == 0 {
		return
	}
	h := r.log.state()
	hopeless := r.hopeless(&h)
	for w := range r.updates {
		switch {
		case w.length != h.Length || w.fork != h.Fork:
			w.finish(true)
		case hopeless:
			w.finish(false)
		}
	}
}

// hopeless tells that no peer can bring anything newer.
func (r *replicator) hopeless(h *head) bool {
	r.log.mu.RLock()
	frozen := r.log.frozen || r.log.failed != nil
	r.log.mu.RUnlock()
	if frozen || r.closed {
		return true
	}
	if r.upgrade != nil || r.reorg != nil || len(r.peers) == 0 && r.finding > 0 {
		return false
	}
	for i, p := range r.peers {
		if i == peersAsked {
			break
		}
		if !p.opened || !p.synced {
			return false
		}
		if p.paused || !p.remote.Uploading {
			continue
		}
		if p.remote.Fork > h.Fork && p.remote.Length > 0 && !r.log.opts.NoFork {
			return false
		}
		if p.remote.Fork == h.Fork && p.remote.Length > h.Length && (p.remote.CanUpgrade || p.lengthAcked != h.Length) {
			return false
		}
	}
	return true
}
