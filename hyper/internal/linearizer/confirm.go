package linearizer

import "slices"

// shift returns the next nodes that are confirmed together with all below them,
// or none.
func (l *Linearizer) shift() []*Node {
	tails := l.tails()
	for _, t := range tails {
		if l.confirmed(t) {
			return []*Node{t}
		}
	}
	for _, m := range l.merges {
		if l.confirmed(m) {
			return l.lowest(m, tails)
		}
	}
	return nil
}

// tails returns the first unconfirmed nodes of indexers that see no other such
// node.
func (l *Linearizer) tails() []*Node {
	var tails []*Node
next:
	for _, w := range l.indexers {
		first := w.offset
		if w.known {
			first = w.gone
		}
		h := w.get(first)
		if h == nil || h.confirmed {
			continue
		}
		for i := 0; i < len(tails); {
			switch t := tails[i]; {
			case h.sees(t):
				continue next
			case t.sees(h):
				tails = slices.Delete(tails, i, i+1)
			default:
				i++
			}
		}
		tails = append(tails, h)
	}
	return tails
}

// merge tells whether n, when it was written, joined nodes of indexers that had
// not seen each other.
func (l *Linearizer) merge(n *Node) bool {
	if n.writer.indexer < 0 {
		return false
	}
	var front []*Node
next:
	for _, w := range l.indexers {
		length := n.clock[w.indexer]
		if w == n.writer {
			length--
		}
		h := w.before(length)
		if h == nil || h.confirmed {
			continue
		}
		for i := 0; i < len(front); {
			switch f := front[i]; {
			case f.sees(h):
				continue next
			case h.sees(f):
				front[i] = front[len(front)-1]
				front = front[:len(front)-1]
			default:
				i++
			}
		}
		front = append(front, h)
	}
	return len(front) > 1
}

// lowest goes down from a confirmed merge to what is confirmed below it and
// should come first.
func (l *Linearizer) lowest(n *Node, tails []*Node) []*Node {
	for !slices.Contains(tails, n) {
		var seen []*Node
		for _, t := range tails {
			if n.sees(t) {
				seen = append(seen, t)
			}
		}
		next := l.confirmedFrom(n, seen)
		if next == nil {
			var merges []*Node
			for _, m := range l.merges {
				if m != n && n.sees(m) {
					merges = append(merges, m)
				}
			}
			next = l.confirmedFrom(n, merges)
		}
		if next == nil {
			return seen
		}
		n = next
	}
	return []*Node{n}
}

// confirmedFrom returns the first of nodes that is confirmed as seen from n.
func (l *Linearizer) confirmedFrom(n *Node, nodes []*Node) *Node {
	for _, c := range nodes {
		if l.confirmedAt(c, n) {
			return c
		}
	}
	return nil
}

// newer tells whether n was written by somebody who had seen o and, of every
// indexer, only nodes written before o or by somebody who had seen o too.
func (l *Linearizer) newer(o, n *Node) bool {
	if !n.sees(o) {
		return false
	}
	for i, w := range l.indexers {
		latest := n.clock[i]
		if latest <= w.gone {
			continue
		}
		length := max(o.clock[i], w.gone)
		if latest < length {
			return false
		}
		if latest == length {
			continue
		}
		q := w.get(max(length, w.offset))
		if q != nil && !q.sees(o) && latest >= q.Length {
			return false
		}
	}
	return true
}

// acks returns, for each indexer that has seen t, its first node that did: a
// vote for t.
func (l *Linearizer) acks(t *Node) []*Node {
	var acks []*Node
	if t.writer.indexer >= 0 {
		acks = append(acks, t)
	}
	for i, w := range l.indexers {
		if w == t.writer {
			continue
		}
		q := w.get(max(t.clock[i], w.offset))
		if q != nil && q.sees(t) && l.newer(t, q) {
			acks = append(acks, q)
		}
	}
	return acks
}

// verdict is what the nodes of one indexer say about a node.
type verdict int

const (
	unseen verdict = iota // it may still say anything
	seen                  // it has seen the node, but not a majority of votes
	acked                 // it has seen a majority vote for it
)

// verdict looks at the first length nodes of w, from the last one down.
func (l *Linearizer) verdict(w *writer, t *Node, acks []*Node, length uint64) verdict {
	if length == 0 || w.gone >= length {
		return unseen
	}
	jumped := false
	for i := int64(length) - 1; i >= 0; i-- {
		h := w.get(uint64(i))
		if h == nil {
			return unseen
		}
		votes := l.votes(h, acks)
		if jumped && votes < l.majority {
			return unseen
		}
		if l.newer(t, h) {
			if votes >= l.majority {
				return acked
			}
			return seen
		}
		if jumped {
			continue
		}
		jumped = true
		if last := l.lastNewer(w, t, int64(length)); last+1 < i {
			i = last + 2
		}
	}
	return unseen
}

// lastNewer finds, by halving, about where the nodes of w stop being newer than
// t. What it finds decides together with the walk of verdict, so it takes the
// same steps as everybody's.
func (l *Linearizer) lastNewer(w *writer, t *Node, length int64) int64 {
	top, bottom := length-1, int64(0)
	for top > bottom {
		mid := (top + bottom) / 2
		if g := w.get(uint64(mid)); g == nil || !g.sees(t) || l.newer(t, g) {
			bottom = mid + 1
		} else {
			top = mid - 1
		}
	}
	return bottom
}

// votes counts the votes that h has seen, up to a majority.
func (l *Linearizer) votes(h *Node, acks []*Node) int {
	n := 0
	for _, a := range acks {
		if n < l.majority && h.sees(a) {
			n++
		}
	}
	return n
}

// confirmed tells whether a majority of indexers can never again decide against
// t.
func (l *Linearizer) confirmed(t *Node) bool {
	acks := l.acks(t)
	if len(acks) < l.majority {
		return false
	}
	sure, open := 0, false
	for _, w := range l.indexers {
		switch l.verdict(w, t, acks, w.length()) {
		case acked:
			if sure++; sure >= l.majority {
				return true
			}
		case unseen:
			open = true
		}
	}
	return !open
}

// confirmedAt tells whether t was confirmed for whoever wrote n.
func (l *Linearizer) confirmedAt(t, n *Node) bool {
	acks := l.acks(t)
	if len(acks) < l.majority {
		return false
	}
	count := 0
	var others []*writer
	for i, w := range l.indexers {
		length := n.clock[i]
		if w == n.writer {
			length = n.Length - 1
		}
		if l.verdict(w, t, acks, length) != acked {
			others = append(others, w)
			continue
		}
		if count++; count >= l.majority {
			return true
		}
	}
	if l.votes(n, acks) < l.majority {
		return false
	}
	for _, w := range others {
		length := n.clock[w.indexer]
		h := w.before(length)
		if t.clock[w.indexer] >= length || h == nil || h.confirmed || l.newer(t, h) {
			count++
		}
	}
	return count >= l.majority
}
