package hypercore

import (
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/bitfield"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// request is a question of ours that a peer has not answered yet.
type request struct {
	wire.Request
	peer  *Peer
	seek  *seekWait // whom the answer helps
	reorg *reorg    // what it is a step of
	// challenge is set if only the answer counts, not the block.
	challenge *challenge
	size      int  // bytes that the answer will have, as far as can be told
	bound     int  // bytes that the block has at most
	alone     bool // send it in a frame of its own
	sent      time.Time
}

// blockWait is everybody who waits for one block.
type blockWait struct {
	index   uint64
	waiters int
	value   []byte // the block if it came from a peer; the last reader may have it
	ready   chan struct{}
	err     error // set before ready is closed
	closed  bool
}

func (w *blockWait) fail(err error) {
	if !w.closed {
		w.closed = true
		w.err = err
		close(w.ready)
	}
}

// gets tells whether the request is for block i and nothing more.
func (q *request) gets(i uint64) bool {
	return q.Block != nil && q.Block.Index == i && q.Upgrade == nil && q.challenge == nil
}

// want registers a reader that waits for block i.
func (r *replicator) want(i uint64) (*blockWait, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	if err := r.log.usable(); err != nil {
		return nil, err
	}
	w := r.gets[i]
	if w == nil || w.closed {
		w = &blockWait{index: i, ready: make(chan struct{})}
		r.gets[i] = w
	}
	w.waiters++
	if r.log.holds(i) {
		r.wake(i)
		return w, nil
	}
	for _, p := range r.peers {
		p.pump()
	}
	return w, nil
}

// unwant takes the reader back. When nobody waits for the block any more, its
// requests are cancelled. The last reader gets the block if it has come, so that
// it need not be read from the store; it is the reader's own.
func (r *replicator) unwant(w *blockWait) (value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.waiters--; w.waiters > 0 {
		return nil
	}
	if r.gets[w.index] == w {
		delete(r.gets, w.index)
	}
	if w.closed || r.asked[w.index] == 0 || r.inDownloads(w.index) {
		return w.value
	}
	for _, p := range r.peers {
		for id, q := range p.inflight {
			if q.gets(w.index) && q.Priority > 0 {
				p.cancel(id, q)
			}
		}
	}
	return nil
}

func (r *replicator) inDownloads(i uint64) bool {
	for _, d := range r.downloads {
		if d.covers(i) {
			return true
		}
	}
	return false
}

// wake tells the readers of block i to look again.
func (r *replicator) wake(i uint64) { r.arrived(i, nil) }

// arrived hands block i to a reader that waits for it and wakes the others.
func (r *replicator) arrived(i uint64, value []byte) (taken bool) {
	w := r.gets[i]
	if w == nil {
		return false
	}
	delete(r.gets, i)
	w.value = value
	w.fail(nil)
	return true
}

func (r *replicator) wakeGets() {
	for i := range r.gets {
		r.wake(i)
	}
}

// send asks the peer.
func (p *Peer) send(q *request) {
	r := p.repl
	p.lastID++
	q.ID, q.peer, q.sent = p.lastID, p, time.Now()
	p.inflight[q.ID] = q
	p.inflightBytes += q.size
	if q.Block != nil && q.challenge == nil {
		r.asked[q.Block.Index]++
	}
	if q.Upgrade != nil && q.reorg == nil {
		r.upgrade = q
	}
	if q.seek != nil {
		q.seek.asked = q
	}
	if len(p.inflight) == 1 {
		p.startTimer()
	}
	if q.alone {
		// Several large answers in one frame are more than JavaScript can send.
		p.ch.SendAlone(wire.TypeRequest, 48, q.AppendTo)
		return
	}
	p.ch.SendFunc(wire.TypeRequest, 48, q.AppendTo)
}

// largeBlock is the size from which on a block is asked for in a frame of its
// own.
const largeBlock = 7 << 20

// forget takes the request out of the books of the peer; what it was for stays
// asked.
func (p *Peer) forget(id uint64, q *request) {
	delete(p.inflight, id)
	p.inflightBytes -= q.size
	p.lastHeard = time.Now()
	if len(p.inflight) == 0 && p.timer != nil {
		p.timer.Stop()
	}
}

// giveBack lets others be asked for what q asked.
func (r *replicator) giveBack(q *request) {
	if q.challenge != nil {
		q.challenge.finish(fmt.Errorf("%w: no answer", ErrChallenge))
		return
	}
	if q.Block != nil {
		r.release(q.Block.Index)
	}
	if r.upgrade == q {
		r.upgrade = nil
	}
	if q.seek != nil && q.seek.asked == q {
		q.seek.asked = nil
	}
}

// release ends one request for block i. If the block is still missing, it is to
// be asked for again.
func (r *replicator) release(i uint64) {
	if r.asked[i]--; r.asked[i] > 0 {
		return
	}
	delete(r.asked, i)
	if r.log.holds(i) {
		return
	}
	for _, p := range r.peers {
		for _, c := range p.cursors {
			c.back(i)
		}
	}
	for _, d := range r.downloads {
		d.back(i)
	}
}

// cancel withdraws a request.
func (p *Peer) cancel(id uint64, q *request) {
	p.forget(id, q)
	p.repl.giveBack(q)
	m := wire.Cancel{Request: id}
	p.ch.SendFunc(wire.TypeCancel, 16, m.AppendTo)
}

// giveBackAll gives everything that was asked of the peer to others.
func (p *Peer) giveBackAll() {
	for id, q := range p.inflight {
		p.forget(id, q)
		p.repl.giveBack(q)
	}
}

// onNoData: the peer cannot answer.
func (p *Peer) onNoData(body []byte) error {
	m, err := wire.DecodeNoData(body)
	if err != nil {
		return err
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	q := p.inflight[m.Request]
	if q == nil {
		return nil
	}
	p.forget(m.Request, q)
	p.refused(q)
	return nil
}

// maxMissing bounds the blocks that a peer is known not to have though it said
// otherwise.
const maxMissing = 1 << 16

// refused gives up what the peer was asked for: it has not, or does not say.
func (p *Peer) refused(q *request) {
	r := p.repl
	h := r.log.state()
	if q.challenge != nil {
		q.challenge.finish(fmt.Errorf("%w: refused", ErrChallenge))
	}
	switch {
	case q.Block != nil && q.Fork == h.Fork:
		if p.missing == nil {
			p.missing = make(map[uint64]struct{})
		}
		p.missing[q.Block.Index] = struct{}{}
		if len(p.missing) > maxMissing {
			// Whoever lacks so much of what it said to hold is not believed.
			p.contiguous, p.bits, p.missing = 0, bitfield.Bitfield{}, nil
		}
	case q.seek != nil:
		q.seek.refuse(p)
	}
	if q.Upgrade != nil && q.reorg == nil && q.Fork == h.Fork {
		// It cannot prove what it announced; its next sync may say more.
		p.remote.CanUpgrade = false
	}
	r.giveBack(q)
	r.endReorg(q.reorg, p)
	r.pump()
	r.resolveUpdates()
}

// startTimer watches that the peer goes on answering. repl.mu is held.
func (p *Peer) startTimer() {
	timeout := p.repl.log.opts.RequestTimeout
	p.lastHeard = time.Now()
	if p.timer != nil {
		p.timer.Reset(timeout)
		return
	}
	p.timer = time.AfterFunc(timeout, p.onTimeout)
}

// onTimeout gives the requests of a silent peer to others. The peer is then
// trusted with one request at a time until it answers again.
func (p *Peer) onTimeout() {
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.closed || len(p.inflight) == 0 {
		return
	}
	timeout := r.log.opts.RequestTimeout
	if rest := timeout - time.Since(p.lastHeard); rest > 0 {
		p.timer.Reset(rest)
		return
	}
	p.stalled = true
	for id, q := range p.inflight {
		p.cancel(id, q)
		r.endReorg(q.reorg, p)
	}
	for _, q := range r.peers {
		if q != p {
			q.pump()
		}
	}
	p.pump()
}

// levels returns how far a proof for the tree node x has to climb, and the
// largest size the block can have.
func (r *replicator) levels(x uint64, length uint64) (levels uint64, size int, err error) {
	n, top, err := merkle.MissingNodes(r.log, x, length)
	size = largeBlock + 1
	if err == nil && top.Hash != (merkle.Node{}).Hash {
		size = int(min(top.Size, uint64(size)))
	}
	return n, size, err
}
