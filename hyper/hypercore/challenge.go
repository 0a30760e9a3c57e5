package hypercore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// challenge is a caller of [Peer.Challenge] that waits for the peer's answer. Only the
// answer counts: the block is not kept, and nobody else is asked for it.
type challenge struct {
	once sync.Once
	done chan struct{}
	err  error // set before done is closed
}

func (c *challenge) finish(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// Has tells whether the peer says that it holds block index.
func (p *Peer) Has(index uint64) bool {
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	_, missing := p.missing[index]
	return p.opened && p.has(index) && !missing
}

// Challenge has the peer prove that it has block index: it asks this peer alone for the
// block, whether it is held here or not, and checks the answer against the tree of the
// log. The log stays as it is. The block must be below the length that is known here.
//
// It returns nil if the peer sent the block, and an error that wraps [ErrChallenge] if it
// did not: it does not say that it has the block, refuses, sends something else, is
// silent for the RequestTimeout of the log's options, or disconnects. The time of ctx, a
// log that is frozen or changes its fork, and ErrOutOfRange say nothing about the peer.
// On the wire it is a request like any other. A peer may still fetch the block from
// somebody else to answer.
func (p *Peer) Challenge(ctx context.Context, index uint64) error {
	r := p.repl
	c := &challenge{done: make(chan struct{})}
	r.mu.Lock()
	q, err := p.challenge(c, index)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("challenge for block %d: %w", index, err)
	}
	late := time.NewTimer(r.log.opts.RequestTimeout)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
		c.finish(fmt.Errorf("%w: no answer", ErrChallenge))
	case <-ctx.Done():
		c.finish(ctx.Err())
	}
	r.mu.Lock()
	if p.inflight[q.ID] == q {
		p.cancel(q.ID, q)
	}
	r.mu.Unlock()
	if c.err != nil {
		return fmt.Errorf("challenge for block %d: %w", index, c.err)
	}
	return nil
}

// challenge asks for a block on behalf of c. repl.mu is held.
func (p *Peer) challenge(c *challenge, index uint64) (*request, error) {
	r := p.repl
	if r.closed {
		return nil, ErrClosed
	}
	if err := r.log.usable(); err != nil {
		return nil, err
	}
	h := r.log.state()
	if index >= h.Length {
		return nil, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, index, h.Length)
	}
	_, missing := p.missing[index]
	switch {
	case !p.opened || !p.synced:
		return nil, fmt.Errorf("%w: not connected", ErrChallenge)
	case p.remote.Fork != h.Fork || p.paused || !p.remote.Uploading || missing || !p.has(index):
		return nil, fmt.Errorf("%w: it does not say that it has it", ErrChallenge)
	}
	levels, bound, err := r.levels(2*index, h.Length)
	if err != nil {
		return nil, err
	}
	q := &request{challenge: c, size: min(bound, largeBlock), bound: bound, alone: bound > largeBlock}
	q.Fork, q.Priority = h.Fork, 1
	q.Block = &merkle.BlockRequest{Index: index, Levels: levels}
	p.send(q)
	return q, nil
}

// answer ends the wait of a challenge after the check of a message.
func (c *challenge) answer(d *received) {
	switch {
	case d.proven:
		c.finish(nil)
	case d.err != nil && !isProofError(d.err):
		c.finish(d.err) // our own store failed
	case d.err != nil:
		c.finish(fmt.Errorf("%w: %w", ErrChallenge, d.err))
	default:
		c.finish(ErrTruncated) // the log changed meanwhile
	}
}
