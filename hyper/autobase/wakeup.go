package autobase

import (
	"context"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// maxHinted bounds the logs that are opened because a peer named them and nobody
// else did.
const maxHinted = 256

type wakeupPeer struct{}

func (b *Base) announceAll() {}
func (b *Base) closePeers()  {}

// Hint says that a log has at least length nodes, so that the base looks for
// them, also if its owner is no member.
func (b *Base) Hint(ctx context.Context, log hypercrypto.Key, length uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	return b.hint(ctx, log, length)
}

// hint opens a log that is news. b.mu is held.
func (b *Base) hint(ctx context.Context, log hypercrypto.Key, length uint64) error {
	e := b.e
	if e.byKey[log] != nil {
		return nil
	}
	r, err := e.sys.member(ctx, log)
	if err != nil {
		return err
	}
	if r.found && length <= r.member.Length {
		return nil
	}
	if !r.found {
		if b.hinted >= maxHinted {
			return nil
		}
		b.hinted++
	}
	if _, err := e.writer(ctx, log); err != nil {
		return err
	}
	b.poke()
	return nil
}
