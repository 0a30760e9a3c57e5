package hypercore

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// reorg is the way to a higher fork that a peer announced. Guarded by
// replicator.mu, but for tree, which belongs to the ingest goroutine.
type reorg struct {
	fork  uint64
	peer  *Peer // who was asked last
	asked *request
	tree  *merkle.Reorg // once the signed tree arrived
}

// checkReorg follows the peer to its fork if that is the highest known.
// repl.mu is held.
func (p *Peer) checkReorg() {
	r := p.repl
	l := r.log
	if !p.opened || !p.synced || p.paused || r.closed || !p.remote.Uploading || p.remote.Length == 0 || l.opts.NoFork || !r.downloading && len(r.updates) == 0 {
		return
	}
	h := l.state()
	if p.remote.Fork <= h.Fork || r.reorg != nil && r.reorg.fork >= p.remote.Fork {
		return
	}
	l.mu.RLock()
	known, frozen := l.rules != nil, l.frozen
	l.mu.RUnlock()
	if frozen {
		return
	}
	if g := r.reorg; g != nil && g.peer.inflight[g.asked.ID] == g.asked {
		g.peer.cancel(g.asked.ID, g.asked)
	}
	r.reorg = &reorg{fork: p.remote.Fork, peer: p}
	q := &request{reorg: r.reorg}
	r.reorg.asked = q
	q.Fork, q.Manifest = p.remote.Fork, !known
	q.Upgrade = &merkle.UpgradeRequest{Length: p.remote.Length}
	p.send(q)
}

// endReorg gives g up, if it is still what is followed, because its peer cannot
// or does not help; another that is on a higher fork too takes its place.
// repl.mu is held.
func (r *replicator) endReorg(g *reorg, unhelpful *Peer) {
	if g == nil || r.reorg != g {
		return
	}
	r.reorg = nil
	for _, p := range r.peers {
		if p != unhelpful {
			p.checkReorg()
		}
	}
	r.resolveUpdates()
}

// ingestReorg takes one step towards a higher fork. log.change is held.
func (r *replicator) ingestReorg(d *received, h *head) error {
	l := r.log
	d.Block = nil
	if d.Fork <= h.Fork {
		return nil // an answer of the time before
	}
	r.mu.Lock()
	g := r.reorg
	r.mu.Unlock()
	asked := d.req != nil && g != nil && d.req.reorg == g
	var err error
	switch {
	case d.Upgrade != nil:
		if g != nil && (g.fork > d.Fork || g.fork == d.Fork && g.tree != nil) {
			return nil
		}
		v := l.verifier()
		var tree *merkle.Reorg
		if tree, err = v.Reorg(l, h.Length, &d.Proof); err != nil {
			break
		}
		next := &reorg{fork: d.Fork, peer: d.peer, asked: &request{}, tree: tree}
		r.mu.Lock()
		if r.reorg != nil && r.reorg.fork > next.fork {
			r.mu.Unlock()
			return nil
		}
		r.reorg = next
		r.mu.Unlock()
		g, asked = next, true
	case !asked:
		return nil // a step of a way that was left
	case g.tree == nil:
		err = fmt.Errorf("%w: no upgrade in the answer", merkle.ErrProof)
	default:
		err = g.tree.Add(l, &d.Proof)
	}
	if err == nil {
		start, end, levels, done := g.tree.Want()
		if !done && r.askReorg(g, start, end, levels) {
			return nil
		}
		if err = r.applyReorg(g, h); err == nil {
			return nil
		}
	}
	if asked {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.endReorg(g, d.peer)
	}
	return err
}

// askReorg asks for the next nodes of the new tree. It returns false if no peer
// can tell more: what is known is then a safe lower bound.
func (r *replicator) askReorg(g *reorg, start, end, levels uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range append([]*Peer{g.peer}, r.peers...) {
		if !p.opened || !p.synced || p.paused || p.remote.Fork != g.fork {
			continue
		}
		b, ok := p.nextHeld(start)
		if !ok || b >= min(end, p.remote.Length) {
			continue
		}
		q := &request{reorg: g}
		q.Fork = g.fork
		q.Hash = &merkle.HashRequest{Index: 2 * b, Levels: levels}
		g.peer, g.asked = p, q
		p.send(q)
		return true
	}
	return false
}

// applyReorg replaces the log above what both trees share. log.change is held.
func (r *replicator) applyReorg(g *reorg, h *head) error {
	l := r.log
	keep := min(g.tree.Ancestors(), h.Length)
	if p := l.prologue(); keep < p {
		keep = min(p, h.Length)
	}
	if err := l.branchesKeep(keep); err != nil {
		return err
	}
	n := head{Tree: g.tree.Tree, signature: append([]byte(nil), g.tree.Signature...)}
	nodes, err := g.tree.Nodes(l)
	if err != nil {
		return err
	}
	b := l.db.NewBatch()
	defer b.Close()
	if c := g.tree.Change; c.Rules != nil {
		l.putManifest(b, c.Rules)
	}
	l.truncate(b, keep)
	b.PutNodes(l.st, nodes)
	b.SetHead(l.st, l.record(&n))
	l.forkSeq.Add(1)
	defer l.forkSeq.Add(1)
	if err := l.commit(b, storage.Relaxed); err != nil {
		return fmt.Errorf("follow to fork %d: %w", g.fork, err)
	}
	l.cut(&n, keep, h.Length)
	if c := g.tree.Change; c.Rules != nil {
		l.learned(c.Rules)
	}
	l.publish(false)
	r.forked(keep, h.Length)
	return nil
}
