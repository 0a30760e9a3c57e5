package hypercore

import (
	"errors"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// finish gives checked messages back to the books: who waited is told, who sent
// nonsense is paused, others hear what is here now.
func (r *replicator) finish(batch []*received) {
	l := r.log
	h := l.state()
	listening := l.events.any()
	var bad []*received
	r.mu.Lock()
	for i := 0; i < len(batch); i++ {
		d := batch[i]
		d.peer.checking--
		d.peer.unchecked -= d.size
		if d.req == nil {
			d.peer.unasked--
		} else {
			if d.req.challenge != nil {
				d.req.challenge.answer(d)
			}
			r.giveBack(d.req)
			if d.req.seek != nil && d.err == nil {
				d.req.seek.fail(nil)
			}
		}
		if d.err != nil {
			bad = append(bad, d)
			continue
		}
		if d.Block != nil {
			d.peer.blocksDownloaded.Add(1)
			d.peer.bytesDownloaded.Add(uint64(len(d.Block.Value)))
			l.stats.blocksDownloaded.Add(1)
			l.stats.bytesDownloaded.Add(uint64(len(d.Block.Value)))
			n := len(d.Block.Value)
			if r.arrived(d.Block.Index, d.Block.Value[:n:n]) {
				d.body.class = -1 // it is a reader's now
			}
			r.settle(d.Block.Index)
		}
	}
	r.checked.Broadcast()
	r.storeFailed(batch)
	r.announceReceived(batch)
	r.checkDownloads()
	r.resolveUpdates()
	for _, d := range bad {
		r.blame(d, &h)
	}
	r.mu.Unlock()
	if listening {
		for _, d := range batch {
			if d.err == nil && d.Block != nil {
				l.events.emit(Event{Type: EventDownload, Length: h.Length, Fork: h.Fork, Index: d.Block.Index, Bytes: len(d.Block.Value), Peer: d.peer})
			}
		}
	}
	for _, d := range bad {
		l.events.emit(Event{Type: EventVerificationError, Length: h.Length, Fork: h.Fork, Peer: d.peer, Err: d.err})
	}
	for _, d := range batch {
		if d.Upgrade == nil && d.Manifest == nil {
			d.body.release()
		}
	}
}

// storeFailed tells who waits for blocks when what arrives cannot be stored, and
// asks for nothing more for a while: it would only arrive in vain.
func (r *replicator) storeFailed(batch []*received) {
	err := r.log.usable()
	for _, d := range batch {
		if errors.Is(d.err, storage.ErrFull) {
			err = d.err
		}
	}
	if err == nil {
		return
	}
	r.log.opts.Log.Warn("cannot store what peers send", "core", r.log.key, "err", err)
	for i, w := range r.gets {
		delete(r.gets, i)
		w.fail(err)
	}
	for w := range r.seeks {
		w.fail(err)
	}
	for _, d := range append([]*Download(nil), r.downloads...) {
		if !d.r.Live {
			r.dropDownload(d)
			d.finish(err)
		}
	}
	for w := range r.updates {
		w.finish(false)
	}
	r.restUntil = time.Now().Add(storeRest)
	time.AfterFunc(storeRest, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.closed {
			r.pump()
		}
	})
}

// storeRest is how long nothing is asked for after the store failed to take it.
const storeRest = 2 * time.Second

// announceReceived tells the peers about runs of blocks that arrived.
func (r *replicator) announceReceived(batch []*received) {
	var start, end uint64
	tell := func() {
		if end > start {
			for _, p := range r.peers {
				p.announceBlocks(start, end)
			}
		}
	}
	for _, d := range batch {
		if d.err != nil || d.Block == nil {
			continue
		}
		if i := d.Block.Index; i != end || end == start {
			tell()
			start, end = i, i+1
		} else {
			end++
		}
	}
	tell()
}

// blame draws the consequence of data that did not verify.
func (r *replicator) blame(d *received, h *head) {
	p := d.peer
	if !isProofError(d.err) {
		return // our own store failed
	}
	if d.Fork != h.Fork && d.Fork <= h.Fork {
		return // it was right when it was sent
	}
	if r.log.opts.AllowPush && d.req == nil {
		return
	}
	p.paused = true
	p.giveBackAll()
	r.log.opts.Log.Debug("peer sent data that does not verify", "core", r.log.key, "err", d.err)
	if !errors.Is(d.err, merkle.ErrOperation) {
		p.askForConflict(h)
	}
}

func isProofError(err error) bool {
	return errors.Is(err, merkle.ErrOperation) || errors.Is(err, merkle.ErrChecksum) ||
		errors.Is(err, merkle.ErrSignature) || errors.Is(err, merkle.ErrProof)
}
