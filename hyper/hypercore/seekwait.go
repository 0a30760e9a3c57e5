package hypercore

import (
	"context"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// seekWait is a caller of Seek that needs tree nodes of a peer.
type seekWait struct {
	bytes, padding uint64
	pos            merkle.Position
	asked          *request
	refused        map[*Peer]struct{}
	ready          chan struct{}
	closed         bool
	err            error
}

func (w *seekWait) fail(err error) {
	if !w.closed {
		w.closed, w.err = true, err
		close(w.ready)
	}
}

func (w *seekWait) refuse(p *Peer) {
	if w.refused == nil {
		w.refused = make(map[*Peer]struct{})
	}
	w.refused[p] = struct{}{}
}

// seek waits until tree nodes arrived that bring the caller nearer to the byte.
func (r *replicator) seek(ctx context.Context, c *Core, bytes, padding uint64, pos merkle.Position) error {
	w := &seekWait{bytes: bytes, padding: padding, pos: pos, ready: make(chan struct{})}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.seeks[w] = struct{}{}
	r.pump()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.seeks, w)
		if q := w.asked; q != nil && q.peer.inflight[q.ID] == q {
			q.peer.cancel(q.ID, q)
		}
	}()
	if err := c.wait(ctx, w.ready); err != nil {
		return err
	}
	return w.err
}

// pumpSeeks asks for the nodes that seeks need. repl.mu is held.
func (p *Peer) pumpSeeks(end uint64) {
	r := p.repl
	for w := range r.seeks {
		if w.closed || w.asked != nil || !p.room(0) {
			continue
		}
		if _, ok := w.refused[p]; ok {
			continue
		}
		h := r.log.state()
		i, ok := p.nextHeld(w.pos.Block)
		if !ok || i >= min(end, w.pos.End) {
			p.sendWant(w.pos.Block)
			continue
		}
		levels, _, err := r.levels(2*i, h.Length)
		if err != nil {
			continue
		}
		if levels == 0 {
			w.fail(nil) // nodes came in the meantime
			continue
		}
		q := &request{seek: w}
		q.Fork, q.Priority = h.Fork, 1
		q.Hash = &merkle.HashRequest{Index: 2 * i, Levels: levels}
		if p.seeks {
			q.Seek = &merkle.SeekRequest{Bytes: w.bytes, Padding: w.padding}
		}
		p.send(q)
	}
}
