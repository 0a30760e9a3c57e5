package linearizer

import (
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// AckHelps tells whether an empty node of an indexer, after all nodes there are,
// brings something closer to being confirmed: a value, or if all is set any node.
// It follows an Update.
//
// It does if the indexer has not seen all of that yet, and then once per round: a
// round ends for an indexer that has seen nodes of it by a majority. As long as a
// majority writes, rounds follow each other until all is confirmed; a minority,
// and who has nothing left to confirm, comes to rest.
func (l *Linearizer) AckHelps(k hypercrypto.Key, all bool) bool {
	w := l.writers[k]
	if w == nil || w.indexer < 0 {
		return false
	}
	heads := l.heads()
	if slices.ContainsFunc(heads, func(h *Node) bool { return h.writer.indexer < 0 }) {
		return true
	}
	if len(heads) == 0 || len(heads) == 1 && heads[0].writer == w {
		return false // nobody said anything since
	}
	own := w.before(w.length())
	if own == nil {
		return all || slices.ContainsFunc(l.tip, func(n *Node) bool { return !n.Empty })
	}
	l.below([]*Node{own})
	open := false
	for _, n := range l.tip {
		if n.Empty && !all {
			continue
		}
		if n.mark != l.walks {
			return true
		}
		open = true
	}
	if !open {
		return false
	}
	most := l.rounds()
	clock := make([]uint64, len(l.indexers))
	for _, h := range heads {
		for i, v := range h.clock {
			clock[i] = max(clock[i], v)
		}
	}
	return l.round(clock, most) > own.round
}

// heads returns the unconfirmed nodes that no other one names.
func (l *Linearizer) heads() []*Node {
	named := make(map[Ref]struct{}, len(l.tip))
	for _, n := range l.tip {
		for _, h := range n.Heads {
			named[h] = struct{}{}
		}
	}
	var heads []*Node
	for _, n := range l.tip {
		if _, ok := named[n.Ref]; !ok {
			heads = append(heads, n)
		}
	}
	return heads
}

// rounds finds out which round each node of the tip belongs to, and returns the
// latest.
func (l *Linearizer) rounds() (latest int) {
	before := make([]uint64, len(l.indexers))
	for _, n := range l.tip {
		n.round = 0
		for _, d := range n.deps {
			n.round = max(n.round, d.round)
		}
		if i := n.writer.indexer; i >= 0 {
			copy(before, n.clock)
			before[i] = n.Length - 1
			n.round = l.round(before, n.round)
		}
		latest = max(latest, n.round)
	}
	return latest
}

// round returns the round of a node by an indexer that has seen clock, and of
// rounds none later than the given one.
func (l *Linearizer) round(clock []uint64, latest int) int {
	votes := 0
	for i, w := range l.indexers {
		if n := w.before(clock[i]); latest == 0 || n != nil && n.round >= latest {
			votes++
		}
	}
	if votes >= l.majority {
		return latest + 1
	}
	return latest
}
