package hypercore

import "context"

// A peer says by itself that it holds all, or which blocks are first, what it has that is
// new to this side, and what it drops. What it holds else it has to be asked for.

// Ask has the peer say which of the blocks from start to end it holds, and returns when it
// has; see [Peer.Holds].
func (p *Peer) Ask(ctx context.Context, start, end uint64) error {
	r := p.repl
	for asked := false; ; {
		r.mu.Lock()
		synced := p.synced // else it has not said how long the log is
		heard, err := p.question(start, end, asked)
		r.mu.Unlock()
		asked = synced
		if err != nil || heard == nil {
			return err
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// question asks, unless that was done, and returns a channel that is closed when the peer
// says something; nil if it has said all.
func (p *Peer) question(start, end uint64, asked bool) (heard <-chan struct{}, err error) {
	if !p.opened {
		return nil, ErrClosed
	}
	if !p.synced {
		return p.listen(), nil
	}
	end = min(end, p.remote.Length)
	for at := start / segment; at*segment < end; at++ {
		if min(end, (at+1)*segment) <= p.contiguous {
			continue
		}
		if !asked {
			delete(p.replied, at)
			if len(p.wanted) >= maxWants {
				continue
			}
			delete(p.wanted, at)
			p.sendWant(at * segment)
		}
		_, wanted := p.wanted[at]
		if _, ok := p.replied[at]; wanted && !ok {
			heard = p.listen()
		}
	}
	return heard, nil
}

// listen returns a channel that is closed with the next thing that the peer says of
// itself. repl.mu is held, in what follows too.
func (p *Peer) listen() <-chan struct{} {
	if p.heard == nil {
		p.heard = make(chan struct{})
	}
	return p.heard
}

func (p *Peer) hear() {
	if p.heard != nil {
		close(p.heard)
		p.heard = nil
	}
}

// noteAnswer notes that a question about the blocks from start on was answered.
func (p *Peer) noteAnswer(start uint64) {
	at := start / segment
	if _, ok := p.wanted[at]; !ok {
		return
	}
	if p.replied == nil {
		p.replied = make(map[uint64]struct{})
	}
	p.replied[at] = struct{}{}
}

// Holds counts the blocks from start to end that the peer says it holds.
func (p *Peer) Holds(start, end uint64) (blocks uint64) {
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.opened || start >= end {
		return 0
	}
	if first := min(p.contiguous, end); first > start {
		blocks, start = first-start, first
	}
	blocks += p.bits.CountRange(start, end)
	for i := range p.missing {
		if i >= start && i < end && p.has(i) {
			blocks--
		}
	}
	return blocks
}

// NextHeld returns the first block from i on that the peer says it holds.
func (p *Peer) NextHeld(i uint64) (block uint64, ok bool) {
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	if !p.opened {
		return 0, false
	}
	return p.nextHeld(i)
}
