package hypercore

import (
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// All methods here run with repl.mu held.

// announceHead sends what the peer does not know yet of the published state:
// the head, and that all its blocks are here.
func (p *Peer) announceHead() {
	p.mux.Cork()
	defer p.mux.Uncork()
	p.sendSync()
	l := p.repl.log
	l.mu.RLock()
	length := l.published.Length
	l.mu.RUnlock()
	held := l.contiguous(length)
	since := p.toldLength
	p.toldLength = length
	if held < length && since > 0 {
		p.announceNew(since, length)
	}
	if held <= p.told || p.paused {
		return
	}
	// That all is here is told to peers that have it too: they count who has.
	if held == length || p.told == 0 && !p.synced {
		p.sendRange(false, 0, held)
	}
	p.told = held
}

// sendSync sends the published head, with what was last heard of the peer's,
// unless the peer knows all that.
func (p *Peer) sendSync() {
	h := p.repl.log.public()
	same := p.remote.Fork == h.Fork
	if !p.synced {
		same = true
	}
	if same && !p.canUpgrade && (!p.sentAny || p.sent.Length != h.Length) {
		p.computeCanUpgrade(&h)
	}
	m := wire.Sync{
		Fork: h.Fork, Length: h.Length,
		CanUpgrade: same && p.canUpgrade, Uploading: true, Downloading: p.repl.downloading,
		HasManifest: p.repl.hasManifest(), AllowPush: p.repl.log.opts.AllowPush && p.repl.downloading,
	}
	if same {
		m.RemoteLength = p.remote.Length
	}
	if p.sentAny && m == p.sent {
		return
	}
	p.sent, p.sentAny = m, true
	p.ch.SendFunc(wire.TypeSync, 32, m.AppendTo)
}

// hasManifest tells whether a manifest can be sent. Compat logs never send
// theirs.
func (r *replicator) hasManifest() bool {
	l := r.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.rules != nil && !l.rules.Compat()
}

func (p *Peer) sendRange(drop bool, start, length uint64) {
	m := wire.Range{Drop: drop, Start: start, Length: length}
	p.ch.SendFunc(wire.TypeRange, 16, m.AppendTo)
}

// dropped tells the peer that blocks are gone.
func (p *Peer) dropped(start, end uint64) { p.sendRange(true, start, end-start) }

// forkChanged makes the knowledge about the peer fit our new fork.
func (p *Peer) forkChanged() {
	h := p.repl.log.state()
	if p.remote.Fork != h.Fork {
		p.lengthAcked, p.canUpgrade = 0, false
		return
	}
	p.computeCanUpgrade(&h)
}

// computeCanUpgrade finds out whether growth from the peer's length can be
// proven by what is stored.
func (p *Peer) computeCanUpgrade(h *head) {
	switch {
	case p.remote.Length == 0:
		p.canUpgrade = true
	case p.remote.Length >= h.Length:
		p.canUpgrade = false
	default:
		ok, err := merkle.CanGrowFrom(p.repl.log, p.remote.Length)
		p.canUpgrade = ok && err == nil
	}
}

// announceNew tells the peer which of the blocks that the log grew by are here.
func (p *Peer) announceNew(start, end uint64) {
	st := p.repl.log.st
	for start < end {
		from, ok := st.NextHeld(start)
		if !ok || from >= end {
			return
		}
		start = min(st.NextMissing(from), end)
		p.announceBlocks(from, start)
	}
}

// unaskedWindow is the number of blocks at the end of the log about which peers
// hear without having asked.
const unaskedWindow = 256

// announceBlocks tells the peer about blocks that arrived.
func (p *Peer) announceBlocks(start, end uint64) {
	if p.paused || !p.opened {
		return
	}
	l := p.repl.log
	l.mu.RLock()
	length := l.published.Length
	l.mu.RUnlock()
	complete := l.contiguous(length) >= length
	if complete {
		p.announceHead()
		return
	}
	end = min(end, length)
	for start < end && p.has(start) {
		start++
	}
	if start >= end {
		return
	}
	if start+unaskedWindow >= length || p.wants.touches(start, end) {
		p.sendRange(false, start, end-start)
	}
}
