package hypercore

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/storage"
)

const (
	// maxParked bounds the requests of one peer that wait for its connection:
	// several times of what peers send that wait for answers.
	maxParked = 4096
	// maxInvalid is how many impossible requests a peer may send before its
	// connection is closed.
	maxInvalid = 64
)

// onRequest answers a request, or parks it while the connection is full.
func (p *Peer) onRequest(body []byte) error {
	m, err := wire.DecodeRequest(body)
	if err != nil {
		return err
	}
	if p.ch.Drained() {
		p.repl.mu.Lock()
		waiting := len(p.parked) > 0
		p.repl.mu.Unlock()
		if !waiting {
			return p.serve(&m)
		}
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, q := range p.parked {
		if q.ID == m.ID {
			p.parked[i] = &m
			return nil
		}
	}
	if len(p.parked) >= maxParked {
		return fmt.Errorf("hypercore: peer sent more than %d requests without reading the answers", maxParked)
	}
	p.parked = append(p.parked, &m)
	return nil
}

// onCancel forgets a parked request. It is not answered.
func (p *Peer) onCancel(body []byte) error {
	m, err := wire.DecodeCancel(body)
	if err != nil {
		return err
	}
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	for i, q := range p.parked {
		if q.ID == m.Request {
			p.parked = append(p.parked[:i], p.parked[i+1:]...)
			break
		}
	}
	return nil
}

// onDrain answers parked requests: urgent ones newest first, then the others
// in order.
func (p *Peer) onDrain() {
	for p.ch.Drained() {
		if p.unparkWant() {
			continue
		}
		m := p.unpark()
		if m == nil {
			return
		}
		if err := p.serve(m); err != nil {
			p.repl.log.opts.Log.Debug("closing connection", "core", p.repl.log.key, "err", err)
			p.mux.Close()
			return
		}
	}
}

// unparkWant answers a parked want. It returns false if there is none.
func (p *Peer) unparkWant() bool {
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	if len(p.parkedWants) == 0 {
		return false
	}
	w := p.parkedWants[0]
	p.parkedWants = p.parkedWants[1:]
	p.answerWant(w)
	return true
}

func (p *Peer) unpark() *wire.Request {
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	if len(p.parked) == 0 {
		return nil
	}
	at := 0
	for i := len(p.parked) - 1; i >= 0; i-- {
		if p.parked[i].Priority > 0 {
			at = i
			break
		}
	}
	m := p.parked[at]
	p.parked = append(p.parked[:at], p.parked[at+1:]...)
	return m
}

// serve answers one request. The error closes the connection.
func (p *Peer) serve(m *wire.Request) error {
	l := p.repl.log
	seq := l.forkSeq.Load() // before anything else is read
	l.mu.RLock()
	h, now, frozen, rules := l.published, l.head.Fork, l.frozen, l.rules
	l.mu.RUnlock()
	held := m.Block == nil || m.Block.Index < h.Length && l.holds(m.Block.Index)

	d := wire.Data{Request: m.ID}
	if m.Manifest && rules != nil && !rules.Compat() {
		d.Manifest = rules.Manifest()
	}
	// The head has left the fork that peers know, or is about to.
	stale := m.Fork != h.Fork || now != h.Fork || seq&1 == 1
	if stale || !held || frozen && m.Block != nil {
		if d.Manifest != nil && m.Block == nil && m.Hash == nil {
			d.Fork = h.Fork
			p.ch.SendFunc(wire.TypeData, d.Size(), d.AppendTo)
			return nil
		}
		p.refuse(m, stale)
		return nil
	}
	proof, err := h.Tree.Prove(l, &m.Request, l.prologue())
	if err == nil && proof.Block != nil {
		p.scratch, err = l.st.Block(proof.Block.Index, p.scratch[:0])
		proof.Block.Value = p.scratch
	}
	switch {
	case l.forkSeq.Load() != seq:
		// What was read belongs to two forks.
		p.sendNoData(m.ID, wire.ReasonNone)
		return nil
	case errors.Is(err, merkle.ErrInvalidRequest):
		return p.invalidRequest(m, err)
	case errors.Is(err, merkle.ErrMissingNode), errors.Is(err, storage.ErrNotFound):
		p.refuse(m, false)
		return nil
	case err != nil:
		l.opts.Log.Debug("cannot serve request", "core", l.key, "err", err)
		p.refuse(m, false)
		return nil
	}
	if proof.Upgrade != nil {
		proof.Upgrade.Signature = h.signature
	}
	proof.Manifest = d.Manifest
	d.Proof = *proof
	p.ch.SendFunc(wire.TypeData, d.Size(), d.AppendTo)
	if d.Block != nil {
		p.countUpload(d.Block.Index, len(d.Block.Value))
	}
	return nil
}

func (p *Peer) countUpload(i uint64, n int) {
	l := p.repl.log
	p.blocksUploaded.Add(1)
	p.bytesUploaded.Add(uint64(n))
	l.stats.blocksUploaded.Add(1)
	l.stats.bytesUploaded.Add(uint64(n))
	if l.events.any() {
		e := p.repl.event(EventUpload, p)
		e.Index, e.Bytes = i, n
		l.events.emit(e)
	}
}

// refuse says that there is no data. A reason is only given for blocks that were
// never here: JavaScript peers count reasons and give up on who gives many, so
// requests that this side's own truncate or clear made stale get none.
func (p *Peer) refuse(m *wire.Request, stale bool) {
	reason := uint64(wire.ReasonNotAvailable)
	if stale || m.Block == nil {
		reason = wire.ReasonNone
	} else {
		p.repl.mu.Lock()
		if p.repl.droppedHere.Get(m.Block.Index) {
			reason = wire.ReasonNone
		}
		p.repl.mu.Unlock()
	}
	p.sendNoData(m.ID, reason)
}

func (p *Peer) sendNoData(id, reason uint64) {
	m := wire.NoData{Request: id, Reason: reason}
	p.ch.SendFunc(wire.TypeNoData, 16, m.AppendTo)
}

func (p *Peer) invalidRequest(m *wire.Request, err error) error {
	r := p.repl
	r.mu.Lock()
	p.invalid++
	n := p.invalid
	r.mu.Unlock()
	e := r.event(EventInvalidRequest, p)
	e.Err = err
	r.log.events.emit(e)
	if n >= maxInvalid {
		return fmt.Errorf("hypercore: %d impossible requests: %w", n, err)
	}
	p.sendNoData(m.ID, wire.ReasonInvalid)
	return nil
}
