package hypercore

import (
	"fmt"
	"math"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Evidence proves that the signer of a log signed two histories: both messages
// are signed states of the same fork that differ.
type Evidence struct {
	Local, Remote []byte // encoded data messages
}

const (
	evidenceLocal  = "hypercore/conflict/local"
	evidenceRemote = "hypercore/conflict/remote"
)

// Evidence returns the two heads that froze the log, nil if it is not frozen.
func (c *Core) Evidence() (*Evidence, error) {
	l := c.log
	l.mu.RLock()
	frozen := l.frozen
	l.mu.RUnlock()
	if !frozen {
		return nil, nil
	}
	var e Evidence
	var err error
	if e.Local, err = l.userData(evidenceLocal); err != nil {
		return nil, err
	}
	if e.Remote, err = l.userData(evidenceRemote); err != nil {
		return nil, err
	}
	return &e, nil
}

// askForConflict asks the peer, which sent what contradicts the stored tree, for
// its whole signed state. repl.mu is held.
func (p *Peer) askForConflict(h *head) {
	length := min(h.Length, p.remote.Length)
	if p.askedConflict || p.remote.Fork != h.Fork || length == 0 {
		return
	}
	p.askedConflict = true
	m := wire.Request{Fork: h.Fork}
	m.Upgrade = &merkle.UpgradeRequest{Length: length}
	p.ch.SendFunc(wire.TypeRequest, 32, m.AppendTo)
}

// conflict checks data with request 0: a signed state that stands for itself. It
// returns true if nothing more is to be done with it. log.change is held.
func (r *replicator) conflict(d *received, h *head) bool {
	l := r.log
	v := l.verifier()
	if v.Rules == nil || d.Fork != h.Fork || h.Length < d.Upgrade.Length {
		return false
	}
	if l.usable() != nil {
		return true
	}
	g, err := v.Full(&d.Proof)
	if err != nil {
		return true // nothing that the signer has to answer for
	}
	if d.Block != nil || d.Hash != nil || d.Seek != nil {
		return false // a pushed block, not evidence
	}
	// What was asked for is compared: the state may be longer.
	theirs, ok := g.RootHashes(d.Upgrade.Length)
	ours, err := merkle.Load(l, h.Fork, d.Upgrade.Length)
	if err != nil || !ok {
		return true
	}
	if slices.EqualFunc(ours.Roots, theirs, func(n hypercrypto.TreeNode, h hypercrypto.Hash) bool { return n.Hash == h }) {
		r.mu.Lock()
		if d.peer.askedConflict {
			d.peer.paused, d.peer.askedConflict = false, false
		}
		r.mu.Unlock()
		return true
	}
	r.freeze(d, h)
	return true
}

// freeze stops the log for good and tells every peer why.
func (r *replicator) freeze(d *received, h *head) {
	l := r.log
	theirs := d.Data.AppendTo(nil)
	length := d.Upgrade.Length
	own := wire.Data{}
	proof, err := h.Tree.Prove(l, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: length}}, l.prologue())
	if err == nil {
		proof.Upgrade.Signature = h.signature
		own.Proof = *proof
	}
	ours := own.AppendTo(nil)

	rec := l.record(h)
	rec.Flags |= storage.Frozen
	b := l.db.NewBatch()
	defer b.Close()
	b.SetUserData(l.st, evidenceLocal, ours)
	b.SetUserData(l.st, evidenceRemote, theirs)
	b.SetHead(l.st, rec)
	if err := l.commit(b, storage.Durable); err != nil {
		own.Upgrade = nil // not durable for certain, so it does not leave
	}

	l.mu.Lock()
	l.frozen = true
	l.mu.Unlock()
	r.mu.Lock()
	for _, p := range r.peers {
		if !p.opened {
			continue
		}
		// Whoever has one of the histories learns of the other.
		if p.remote.Fork == h.Fork && own.Upgrade != nil {
			p.ch.SendFunc(wire.TypeData, own.Size(), own.AppendTo)
		}
		if p.remote.Fork == h.Fork && p != d.peer {
			p.ch.Send(wire.TypeData, theirs)
		}
		p.ch.Close()
	}
	for _, w := range r.gets {
		w.fail(ErrConflict)
	}
	r.gets = make(map[uint64]*blockWait)
	r.resolveUpdates()
	r.mu.Unlock()
	l.events.emit(Event{Type: EventConflict, Length: h.Length, Fork: h.Fork, Index: length, Peer: d.peer,
		Err: fmt.Errorf("%w: at %d blocks of fork %d", ErrConflict, length, h.Fork)})
}

// VerifyEvidence tells whether e proves that the signer of the log with this
// key and manifest signed two histories.
func VerifyEvidence(key hypercrypto.Key, m *hypercrypto.Manifest, e *Evidence) error {
	rules, err := hypercrypto.NewVerifier(key, m)
	if err != nil {
		return err
	}
	v := merkle.Verifier{Key: key, Rules: rules}
	var heads [2]*merkle.Reorg
	length := uint64(math.MaxUint64)
	for i, raw := range [][]byte{e.Local, e.Remote} {
		d, err := wire.DecodeData(raw)
		if err != nil {
			return err
		}
		if heads[i], err = v.Full(&d.Proof); err != nil {
			return err
		}
		length = min(length, d.Upgrade.Length)
	}
	if heads[0].Tree.Fork != heads[1].Tree.Fork {
		return fmt.Errorf("hypercore: the heads are of forks %d and %d, which is no conflict", heads[0].Tree.Fork, heads[1].Tree.Fork)
	}
	ours, ok := heads[0].RootHashes(length)
	theirs, ok2 := heads[1].RootHashes(length)
	if !ok || !ok2 || slices.Equal(ours, theirs) {
		return fmt.Errorf("hypercore: the heads do not differ in the first %d blocks, which is no conflict", length)
	}
	return nil
}
