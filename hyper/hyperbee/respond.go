package hyperbee

import (
	"context"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// announcer collects the blocks a walk reads and sends them to the peer that
// asked.
type announcer struct {
	send    func(payload []byte)
	seen    map[uint64]struct{}
	pending []uint64
	touched int
	stop    context.CancelFunc // ends the walk when it did enough
	muted   bool
}

func (a *announcer) add(seq uint64) {
	if a.touched++; a.touched >= maxTouched {
		a.stop()
	}
	if a.muted {
		return
	}
	if _, ok := a.seen[seq]; ok {
		return
	}
	a.seen[seq] = struct{}{}
	if a.pending = append(a.pending, seq); len(a.pending) == announceSize {
		a.flush()
	}
	if len(a.seen) >= maxAnnounced {
		a.stop()
	}
}

func (a *announcer) flush() {
	if len(a.pending) == 0 {
		return
	}
	m := cacheMessage{start: a.pending[0], blocks: a.pending}
	for _, seq := range a.pending {
		m.start, m.end = min(m.start, seq), max(m.end, seq+1)
	}
	a.send(message{cache: &m}.append(nil))
	a.pending = a.pending[:0]
}

// answerWalk runs a walk on a version with local blocks only and announces
// what it reads. Errors end the walk; what was read until then is announced.
func (e *extension) answerWalk(ctx context.Context, from *hypercore.Peer, version uint64, walk func(ctx context.Context, t *Tree, r *reader, a *announcer)) {
	if version < 2 || version > e.t.Version() {
		return
	}
	view, err := e.t.Checkout(version)
	if err != nil {
		return
	}
	defer func() { _ = view.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	local := view.LocalOnly()
	r, err := local.reader(ctx)
	if err != nil {
		return
	}
	defer r.close()
	a := &announcer{
		send: func(b []byte) { e.out.Send(from, compact.AppendBuffer(nil, b)) },
		seen: make(map[uint64]struct{}),
		stop: cancel,
	}
	r.touched = a.add
	walk(ctx, local, r, a)
	a.flush()
}

func (e *extension) answerGet(ctx context.Context, from *hypercore.Peer, m *getMessage) {
	e.answerWalk(ctx, from, m.version, func(ctx context.Context, t *Tree, r *reader, _ *announcer) {
		_, _, _ = t.get(ctx, r, m.key)
	})
}

func (e *extension) answerIterator(ctx context.Context, from *hypercore.Peer, m *iteratorMessage) {
	e.answerWalk(ctx, from, m.version, func(ctx context.Context, _ *Tree, r *reader, a *announcer) {
		c := newCursor(r, m.bounds(), m.reverse)
		defer c.free()
		if len(m.checkpoint) > 0 {
			// The peer has the blocks on its own path.
			a.muted = true
			err := c.resume(ctx, m.checkpoint)
			if a.muted = false; err != nil {
				return
			}
		} else if c.open(ctx) != nil {
			return
		}
		for n := uint64(0); m.limit == 0 || n < m.limit; n++ {
			seq, _, err := c.next(ctx)
			if err != nil || seq == 0 || ctx.Err() != nil {
				return
			}
		}
	})
}

func (m *iteratorMessage) bounds() (b bounds) {
	b.lower, b.lowerIncl = m.gte, true
	if m.gt != nil {
		b.lower, b.lowerIncl = m.gt, false
	}
	b.upper, b.upperIncl = m.lte, true
	if m.lt != nil {
		b.upper, b.upperIncl = m.lt, false
	}
	return b
}

// resume moves to a place that checkpoint returned.
func (c *cursor) resume(ctx context.Context, checkpoint []uint64) error {
	c.opened = true
	for ; len(checkpoint) >= 3; checkpoint = checkpoint[3:] {
		seq, offset, i := checkpoint[0], checkpoint[1], checkpoint[2]
		if seq == 0 || seq >= c.r.version || len(c.path) == maxDepth {
			return fmt.Errorf("%w: bad checkpoint", ErrNotAVersion)
		}
		f := getFrame()
		c.push(f)
		if err := f.load(ctx, c.r, seq, offset, true); err != nil {
			return err
		}
		f.i = int(min(i, uint64(2*len(f.keys)+1)))
	}
	return nil
}
