package autobase

import (
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// A node that is left out, because its writer is no member at its place in the
// order, becomes part of the state with the first member's node that depends on
// it. That does not happen if its writer was made a member in between: such a node
// is passed over, without a trace in the system view, and stays so until the epoch
// ends. The next start, within the epoch, must not take it for news.

// passed is a node that was passed over when the system view had length at.
type passed struct {
	oplog.Ref
	at uint64
}

// passing finds, in a run of confirmed units, the nodes that are passed over.
type passing struct {
	left   []passed
	linked map[hypercrypto.Key]uint64
}

// see takes the next unit, which comes when the system view has length at.
func (p *passing) see(u *unit, at uint64) {
	if len(u.linked) == 0 {
		for _, n := range u.nodes {
			p.left = append(p.left, passed{n.Ref, at})
		}
		return
	}
	if len(p.left) == 0 {
		return // a node is linked after it was left out
	}
	if p.linked == nil {
		p.linked = make(map[hypercrypto.Key]uint64)
	}
	for _, r := range u.linked {
		p.linked[r.Key] = max(p.linked[r.Key], r.Length)
	}
}

// pass notes what a run passed over.
func (e *engine) pass(p *passing) {
	for _, x := range p.left {
		if x.Length > p.linked[x.Key] {
			e.passed = append(e.passed, x)
			w := e.byKey[x.Key]
			w.passed = max(w.passed, x.Length)
		}
	}
}

// passedLength returns up to which length a log is passed over.
func (e *engine) passedLength(k hypercrypto.Key) (length uint64) {
	for _, x := range e.passed {
		if x.Key == k {
			length = max(length, x.Length)
		}
	}
	return length
}

// passedBelow returns the last node of each log that was passed over before the
// system view had the given length, and forgets those before it.
func (e *engine) passedBelow(length uint64) []oplog.Ref {
	last := make(map[hypercrypto.Key]int) // place in refs
	var refs []oplog.Ref
	var later []passed
	for _, x := range e.passed {
		if x.at >= length {
			later = append(later, x)
			continue
		}
		i, ok := last[x.Key]
		if !ok {
			i = len(refs)
			last[x.Key] = i
			refs = append(refs, x.Ref)
		}
		refs[i].Length = max(refs[i].Length, x.Length)
	}
	e.passed = e.passed[:0]
	for _, r := range refs {
		e.passed = append(e.passed, passed{r, 0})
	}
	e.passed = append(e.passed, later...)
	return refs
}

// forgetPassed begins anew: in another epoch such nodes are considered again.
func (e *engine) forgetPassed() {
	e.passed = nil
	for _, w := range e.writers {
		w.passed = 0
	}
}
