package hypercore

import "time"

// Work stealing: a peer that has nothing to do is asked for blocks that others
// were asked for and have not sent. The first answer wins, the others are
// cancelled. So that blocks rarely travel twice, a block is left to its peer for
// as long as the idle one would need for it: when it is asked twice, it would
// have been here by now, had the idle peer been asked in the first place.
//
// All functions here run with repl.mu held.

const (
	// stealLimit is how many peers one block may be asked of.
	stealLimit = 3
	// stealWindow is how many requests an idle peer takes over at once.
	stealWindow = 16
	// minPatience is how long a block is left to its peer at least.
	minPatience = 20 * time.Millisecond
)

// patience is how long others may take for an answer before this peer, which is
// idle, is asked too.
func (p *Peer) patience() time.Duration { return max(minPatience, p.answerTime) }

// answered notes how long a request took.
func (p *Peer) answered(took time.Duration) {
	if p.answerTime == 0 {
		p.answerTime = took
		return
	}
	p.answerTime += (took - p.answerTime) / 4
}

// steal asks an idle peer for blocks that other peers let wait for too long. If
// they may still take their time, it looks again when that is over.
func (p *Peer) steal(h *head, end uint64) {
	r := p.repl
	if len(r.peers) < 2 || len(p.inflight) > 0 || p.checking > 0 || len(r.asked) == 0 {
		return
	}
	now := time.Now()
	if now.Before(p.stealAt) {
		r.stealLater(now, p.stealAt)
		return
	}
	patience := p.patience()
	var next time.Time // when another block may be taken over
	for _, other := range r.peers {
		if other == p {
			continue
		}
		for _, q := range other.inflight {
			if q.Block == nil || q.Upgrade != nil || q.challenge != nil || q.Fork != h.Fork {
				continue
			}
			i := q.Block.Index
			if i >= end || r.asked[i] >= stealLimit || !p.has(i) || r.log.holds(i) {
				continue
			}
			if _, ok := p.missing[i]; ok {
				continue
			}
			if due := q.sent.Add(patience); now.Before(due) {
				if next.IsZero() || due.Before(next) {
					next = due
				}
				continue
			}
			if !p.ask(h, i, q.Priority) || len(p.inflight) >= stealWindow {
				return
			}
		}
	}
	if !next.IsZero() && len(p.inflight) == 0 {
		p.stealAt = next
		r.stealLater(now, next)
	}
}

// stealLater lets idle peers look for work again at a given time.
func (r *replicator) stealLater(now, at time.Time) {
	if !r.stealAt.IsZero() && !at.Before(r.stealAt) {
		return
	}
	r.stealAt = at
	if r.stealTimer == nil {
		r.stealTimer = time.AfterFunc(at.Sub(now), r.stealNow)
		return
	}
	r.stealTimer.Reset(at.Sub(now))
}

func (r *replicator) stealNow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stealAt = time.Time{}
	if !r.closed {
		r.pump()
	}
}

// settle withdraws the other requests for a block that has arrived.
func (r *replicator) settle(i uint64) {
	if r.asked[i] == 0 {
		return
	}
	for _, p := range r.peers {
		for id, q := range p.inflight {
			if q.gets(i) && q.Fork == r.log.state().Fork {
				p.cancel(id, q)
			}
		}
	}
}
