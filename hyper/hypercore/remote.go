package hypercore

import (
	"encoding/binary"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/bitfield"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// onSync takes the peer's state.
func (p *Peer) onSync(body []byte) error {
	m, err := wire.DecodeSync(body)
	if err != nil {
		return err
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	first, changed := !p.synced, p.remote.Length != m.Length || p.remote.Fork != m.Fork
	if p.remote.Fork != m.Fork {
		// What did not fit may have been read while the fork changed.
		p.missing, p.paused = nil, false
	}
	p.remote, p.synced = m, true
	p.lastHeard = time.Now()
	p.hear()
	h := r.log.state()
	same := m.Fork == h.Fork
	p.lengthAcked = 0
	if same {
		p.lengthAcked = m.RemoteLength
		if changed || first {
			p.computeCanUpgrade(&h)
		}
	} else {
		p.canUpgrade = false
	}
	p.closeIfIdle()
	if same && h.Length > m.Length || first {
		p.sendSync()
	}
	p.checkReorg()
	p.pump()
	r.resolveUpdates()
	return nil
}

// onRange takes which blocks the peer has or has no more.
func (p *Peer) onRange(body []byte) error {
	m, err := wire.DecodeRange(body)
	if err != nil {
		return err
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	end := m.Start + min(m.Length, maxBlocks-min(m.Start, maxBlocks))
	switch {
	case m.Drop && m.Start < p.contiguous:
		if end < p.contiguous {
			p.bits.SetRange(end, p.contiguous, true)
		}
		p.contiguous = m.Start
		p.bits.SetRange(m.Start, end, false)
	case m.Drop:
		p.bits.SetRange(m.Start, end, false)
	case m.Start == 0:
		p.contiguous = max(p.contiguous, end)
		r.noteContiguous(p)
	default:
		p.bits.SetRange(m.Start, end, true)
		if m.Start <= p.contiguous {
			p.contiguous = max(p.contiguous, end)
		}
	}
	p.heldChanged(m.Start, end)
	return nil
}

// maxPages bounds the memory for what a peer says it holds: 16 MiB, which is
// enough for odd patterns over 100 million blocks.
const maxPages = 4096

// maxBlocks bounds block numbers from the network.
const maxBlocks = 1 << 52

// heldChanged forgets conclusions about what the peer lacks.
func (p *Peer) heldChanged(start, end uint64) {
	if p.bits.Pages() > maxPages || p.bits.Chunks() > 32*maxPages {
		p.bits = bitfield.Bitfield{} // less is known, nothing is wrong
	}
	if end-start < uint64(len(p.missing)) {
		for i := start; i < end; i++ {
			delete(p.missing, i)
		}
	} else {
		for i := range p.missing {
			if i >= start && i < end {
				delete(p.missing, i)
			}
		}
	}
	p.cursors = nil
	p.hear()
}

// noteContiguous raises the hint how much of the log one peer has.
func (r *replicator) noteContiguous(p *Peer) {
	l := r.log
	l.mu.Lock()
	grew := p.synced && p.remote.Fork == l.head.Fork && p.contiguous > l.remoteContiguous
	if grew {
		l.remoteContiguous = p.contiguous
	}
	e := Event{Type: EventRemoteContiguousLength, Length: l.head.Length, Fork: l.head.Fork, Index: l.remoteContiguous, Peer: p}
	l.mu.Unlock()
	if grew {
		l.events.emit(e)
	}
}

// onBitfield takes which blocks of an area the peer has: the truth for the bits
// it covers.
func (p *Peer) onBitfield(body []byte) error {
	m, err := wire.DecodeBitfield(body)
	if err != nil {
		return err
	}
	if m.Start%32 != 0 || m.Start > maxBlocks {
		return nil
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	end := m.Start + 8*uint64(len(m.Bits))
	p.contiguous = min(p.contiguous, m.Start)
	words := make([]uint32, len(m.Bits)/4)
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(m.Bits[4*i:])
	}
	p.bits.SetWords(m.Start, words)
	p.noteAnswer(m.Start)
	p.heldChanged(m.Start, end)
	return nil
}
