package hypercore

import (
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/storage"
)

// received is a data message that waits to be checked.
type received struct {
	wire.Data
	peer *Peer
	req  *request // nil if it was not asked for
	body *body    // where the block and the signature are
	size int
	// shared: the block may come a second time, from another peer.
	shared bool
	// proven: the block of a challenge is what the log has.
	proven bool

	change *merkle.Change // once checked
	err    error
}

const (
	// maxIngest bounds the messages and bytes that are committed at once.
	maxIngest      = 1024
	maxIngestBytes = 1 << 20
	// maxUnchecked bounds the bytes from one peer that wait to be checked. Then
	// its connection is not read.
	maxUnchecked = 16 << 20
	// maxUnasked bounds the messages of one peer that wait to be checked without
	// having been asked for.
	maxUnasked = 32
)

// onData takes an answer. It is checked and stored by the ingest goroutine.
func (p *Peer) onData(body []byte) error {
	// The block outlives the call, so the message is copied once.
	copied := copyBody(body)
	d, err := wire.DecodeData(copied.data)
	if err != nil {
		return err
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	for p.unchecked > maxUnchecked && !r.closed {
		r.checked.Wait()
	}
	fork := r.log.state().Fork
	q := p.inflight[d.Request]
	switch {
	case q != nil:
		p.forget(d.Request, q)
		p.answered(p.lastHeard.Sub(q.sent))
		p.stalled = false
		if q.Manifest && d.Manifest == nil {
			p.remote.HasManifest = false // not to be asked again
		}
		if q.Upgrade != nil && q.reorg == nil && d.Upgrade == nil {
			p.remote.CanUpgrade = false // until its next sync
		}
		if !fits(q, &d) {
			p.unused(&d)
			p.refused(q)
			return nil
		}
	case p.unasked >= maxUnasked:
		p.unused(&d)
		return nil
	case d.Request == 0 && d.Upgrade != nil && d.Upgrade.Start == 0:
	case d.Fork > fork && d.Upgrade != nil && r.reorg == nil && !r.log.opts.NoFork:
	case r.log.opts.AllowPush && d.Fork == fork:
	default:
		p.unused(&d)
		return nil
	}
	p.checking++
	p.unchecked += len(body)
	if q == nil {
		p.unasked++
	}
	shared := d.Block != nil && (q == nil || r.asked[d.Block.Index] > 1)
	r.queue = append(r.queue, &received{Data: d, peer: p, req: q, body: copied, size: len(body), shared: shared})
	if !r.ingesting && !r.closed {
		r.ingesting = true
		r.tasks.Add(1)
		go r.ingest()
	}
	return nil
}

// unused counts a block that arrived in vain.
func (p *Peer) unused(d *wire.Data) {
	if d.Block == nil {
		return
	}
	n := uint64(len(d.Block.Value))
	p.blocksUnused.Add(1)
	p.bytesUnused.Add(n)
	p.repl.log.stats.blocksUnused.Add(1)
	p.repl.log.stats.bytesUnused.Add(n)
}

// fits tells whether the answer is one to the question.
func fits(q *request, d *wire.Data) bool {
	switch {
	case d.Fork != q.Fork:
		return d.Fork > q.Fork && d.Upgrade != nil && q.challenge == nil
	case q.Block != nil && (d.Block == nil || d.Block.Index != q.Block.Index):
		return false
	case q.bound > 0 && q.bound <= largeBlock && len(d.Block.Value) > q.bound:
		return false
	case q.Block == nil && d.Block != nil:
		return false
	case q.Hash != nil && (d.Hash == nil || d.Hash.Index != q.Hash.Index):
		return false
	case q.Hash == nil && d.Hash != nil:
		return false
	case d.Seek != nil && (q.Seek == nil || d.Seek.Bytes != q.Seek.Bytes):
		return false
	case d.Upgrade != nil && q.Upgrade == nil:
		return false
	}
	return true
}

// ingest checks and stores what was received until nothing is left. While a
// batch is stored the next one is hashed.
func (r *replicator) ingest() {
	defer r.tasks.Done()
	var batch []*received
	for {
		if len(batch) == 0 {
			r.mu.Lock()
			batch = r.takeQueue()
			r.ingesting = len(batch) > 0
			r.mu.Unlock()
			if len(batch) == 0 {
				return
			}
			hashBlocks(batch)
		}
		r.mu.Lock()
		next := r.takeQueue()
		r.mu.Unlock()
		var hashing sync.WaitGroup
		if len(next) > 0 {
			hashing.Go(func() { hashBlocks(next) })
		}
		r.store(batch)
		hashing.Wait()
		batch = next
	}
}

// store checks a batch and stores what is right.
func (r *replicator) store(batch []*received) {
	r.log.change.Lock()
	for len(batch) > 0 {
		n := r.plain(batch)
		if n > 0 {
			r.ingestBlocks(batch[:n])
			batch = batch[n:]
			continue
		}
		r.ingestOne(batch[0])
		batch = batch[1:]
	}
	r.log.change.Unlock()
	r.mu.Lock()
	r.pump()
	r.mu.Unlock()
}

// takeQueue removes the next batch from the queue. r.mu must be held.
func (r *replicator) takeQueue() []*received {
	n, size := 0, 0
	for n < len(r.queue) && n < maxIngest && (n == 0 || size < maxIngestBytes) {
		size += r.queue[n].size
		n++
	}
	batch := r.queue[:n:n]
	r.queue = r.queue[n:]
	if len(r.queue) == 0 {
		r.queue = nil
	}
	return batch
}

// plain returns how many messages at the front change no head: they can be
// checked side by side and stored together.
func (r *replicator) plain(batch []*received) int {
	fork := r.log.state().Fork
	for i, d := range batch {
		if d.Upgrade != nil || d.Fork != fork || d.Request == 0 || d.req != nil && d.req.reorg != nil {
			return i
		}
	}
	return len(batch)
}

// ingestBlocks checks and stores proofs against the current tree. log.change
// is held.
func (r *replicator) ingestBlocks(batch []*received) {
	l := r.log
	h := l.state()
	v := l.verifier()
	l.checkAll(&v, &h, batch)

	b := l.db.NewBatch()
	defer b.Close()
	stored := false
	var taken map[uint64]struct{} // shared blocks in b
	rules := v.Rules
	for _, d := range batch {
		if d.err != nil {
			continue
		}
		if d.req != nil && d.req.challenge != nil {
			d.proven, d.Block = true, nil
			continue
		}
		if d.change.Rules != nil && rules == nil {
			rules = d.change.Rules
			l.putManifest(b, rules)
			stored = true
		}
		if len(d.change.Nodes) > 0 {
			b.PutNodes(l.st, d.change.Nodes)
			stored = true
		}
		if d.Block != nil {
			i := d.Block.Index
			if _, twice := taken[i]; twice || l.holds(i) {
				d.peer.unused(&d.Data)
				d.Block = nil
				continue
			}
			if d.shared {
				if taken == nil {
					taken = make(map[uint64]struct{})
				}
				taken[i] = struct{}{}
			}
			b.PutBlock(l.st, d.Block.Index, d.Block.Value)
			stored = true
		}
	}
	if stored {
		// Relaxed: what is lost can be fetched again.
		if err := l.commit(b, storage.Relaxed); err != nil {
			for _, d := range batch {
				if d.err == nil {
					d.err = err
				}
			}
		} else if rules != v.Rules {
			l.learned(rules)
		}
	}
	r.finish(batch)
}

// hashBlocks computes the hashes of the blocks in messages: most of the work of
// checking them, and the part that depends on nothing else.
func hashBlocks(batch []*received) {
	parts := make([]*merkle.BlockPart, 0, len(batch))
	size := 0
	for _, d := range batch {
		if d.Block != nil {
			parts = append(parts, d.Block)
			size += d.size
		}
	}
	inParallel(len(parts), size, func(from, to int) { merkle.HashBlocks(parts[from:to]) })
}

// checkAll verifies messages.
func (l *log) checkAll(v *merkle.Verifier, h *head, batch []*received) {
	size := 0
	for _, d := range batch {
		size += d.size
	}
	inParallel(len(batch), size, func(from, to int) {
		for _, d := range batch[from:to] {
			d.change, d.err = v.Verify(&h.Tree, l, &d.Proof)
			if d.err == nil && d.Block != nil && d.Block.Index >= h.Length {
				d.err = fmt.Errorf("%w: block %d beyond the log", merkle.ErrOperation, d.Block.Index)
			}
		}
	})
}

// ingestOne checks and stores a message that changes the head, or may. log.change
// is held.
func (r *replicator) ingestOne(d *received) {
	l := r.log
	h := l.state()
	switch {
	case d.Request == 0 && d.Upgrade != nil && d.Upgrade.Start == 0 && r.conflict(d, &h):
	case d.Fork > h.Fork || d.req != nil && d.req.reorg != nil:
		d.err = r.ingestReorg(d, &h)
	case d.Fork < h.Fork:
		// An answer of the time before a fork.
		d.change = &merkle.Change{}
		d.Block = nil
	default:
		d.err = r.ingestUpgrade(d, &h)
		if d.err != nil && d.req != nil && d.req.Upgrade != nil && d.req.Upgrade.Start != h.Length {
			// The log grew here after the request, by a draft: no fault of the peer.
			d.err, d.change, d.Block = nil, &merkle.Change{}, nil
		}
	}
	r.finish([]*received{d})
}

func (r *replicator) ingestUpgrade(d *received, h *head) error {
	l := r.log
	v := l.verifier()
	change, err := v.Verify(&h.Tree, l, &d.Proof)
	if err != nil {
		return err
	}
	d.change = change
	if d.Block != nil && d.Block.Index >= change.Tree.Length {
		return fmt.Errorf("%w: block %d beyond the log", merkle.ErrOperation, d.Block.Index)
	}
	n := *h
	if change.Upgraded {
		n = head{Tree: change.Tree, signature: append([]byte(nil), change.Signature...)}
	}
	b := l.db.NewBatch()
	defer b.Close()
	if change.Rules != nil {
		l.putManifest(b, change.Rules)
	}
	b.PutNodes(l.st, change.Nodes)
	if d.Block != nil && !l.holds(d.Block.Index) {
		b.PutBlock(l.st, d.Block.Index, d.Block.Value)
	} else {
		d.peer.unused(&d.Data)
		d.Block = nil
	}
	b.SetHead(l.st, l.record(&n))
	if err := l.commit(b, storage.Relaxed); err != nil {
		return err
	}
	l.mu.Lock()
	l.head = n
	l.mu.Unlock()
	if change.Rules != nil {
		l.learned(change.Rules)
	}
	if change.Upgraded {
		l.events.emit(Event{Type: EventAppend, Length: n.Length, Fork: n.Fork, Peer: d.peer})
		l.publish(false)
	}
	return nil
}

// putManifest stores a manifest that came from a peer.
func (l *log) putManifest(b *storage.Batch, rules *hypercrypto.Verifier) {
	auth := storage.Auth{Key: l.key, Manifest: rules.Manifest().AppendTo(nil)}
	l.mu.RLock()
	if l.keyPair != nil {
		auth.Secret = l.keyPair.Secret()
	}
	l.mu.RUnlock()
	b.SetAuth(l.st, auth)
}

// learned takes rules that were proven and stored.
func (l *log) learned(rules *hypercrypto.Verifier) {
	l.mu.Lock()
	l.rules = rules
	h := l.head
	l.mu.Unlock()
	l.events.emit(Event{Type: EventManifest, Length: h.Length, Fork: h.Fork})
	l.repl.announce()
}
