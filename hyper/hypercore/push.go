package hypercore

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// Push sends block i to the peers that accept blocks unasked and do not have
// it, together with the proof of the log's growth if they need one. It returns
// how many peers it was sent to.
func (c *Core) Push(i uint64) (peers int, err error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	l := c.log
	seq := l.forkSeq.Load() // before anything else is read
	h := l.public()
	if seq&1 == 1 || l.state().Fork != h.Fork {
		return 0, nil
	}
	if i >= h.Length {
		return 0, fmt.Errorf("%w: block %d of %d", ErrOutOfRange, i, h.Length)
	}
	value, err := l.block(i, nil)
	if err != nil {
		return 0, err
	}
	r := l.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		if !p.opened || p.paused || !p.remote.AllowPush || !p.remote.Downloading || p.remote.Fork != h.Fork || p.has(i) {
			continue
		}
		known := max(p.remote.Length, p.pushed)
		q := merkle.Request{Block: &merkle.BlockRequest{Index: i}}
		if i < known {
			q.Block.Levels = merkle.MaxMissingNodes(2*i, known)
		} else {
			q.Upgrade = &merkle.UpgradeRequest{Start: known, Length: h.Length - known}
		}
		proof, err := h.Tree.Prove(l, &q, l.prologue())
		if err != nil {
			return peers, err
		}
		if l.forkSeq.Load() != seq {
			return peers, nil // what was read belongs to two forks
		}
		proof.Block.Value = value
		if proof.Upgrade != nil {
			proof.Upgrade.Signature = h.signature
			p.pushed = h.Length
		}
		l.mu.RLock()
		if known == 0 && !l.rules.Compat() {
			proof.Manifest = l.rules.Manifest()
		}
		l.mu.RUnlock()
		d := wire.Data{Proof: *proof}
		p.ch.SendFunc(wire.TypeData, d.Size(), d.AppendTo)
		p.countUpload(i, len(value))
		peers++
	}
	return peers, nil
}
