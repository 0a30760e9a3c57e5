package linearizer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrNode is the error of a node that does not fit the graph.
var ErrNode = errors.New("linearizer: node does not fit")

// Linearizer orders the nodes of one epoch: a time in which the indexers stay
// the same. It is not safe for concurrent use.
type Linearizer struct {
	indexers []*writer
	majority int
	writers  map[hypercrypto.Key]*writer
	merges   []*Node // by indexers, that join what others wrote, in the order of arrival

	tip        []*Node // ordered, but for the last added
	added      int     // nodes at the end of tip that are not in their place yet
	optimistic int     // nodes in tip that are optimistic
	walks      int
}

// New makes a linearizer of an epoch with the given indexers, in their order.
// confirmed are the lengths up to which logs are confirmed already.
func New(indexers []hypercrypto.Key, confirmed []Ref) *Linearizer {
	l := &Linearizer{majority: len(indexers)/2 + 1, writers: make(map[hypercrypto.Key]*writer)}
	for _, k := range indexers {
		w := l.writer(k)
		w.indexer = len(l.indexers)
		l.indexers = append(l.indexers, w)
	}
	for _, r := range confirmed {
		w := l.writer(r.Key)
		w.offset, w.gone, w.known = r.Length, r.Length, true
	}
	return l
}

func (l *Linearizer) writer(k hypercrypto.Key) *writer {
	w := l.writers[k]
	if w == nil {
		w = &writer{key: k, indexer: -1}
		l.writers[k] = w
	}
	return w
}

// Start says that a log's nodes up to length are confirmed, as far as they count.
// It has to come before the first node of that log.
func (l *Linearizer) Start(k hypercrypto.Key, length uint64) {
	if w := l.writer(k); len(w.nodes) == 0 {
		w.offset, w.started = length, true
	}
}

// Length returns how many nodes of a log were added, confirmed ones included.
func (l *Linearizer) Length(k hypercrypto.Key) uint64 {
	if w := l.writers[k]; w != nil {
		return w.length()
	}
	return 0
}

// Unconfirmed returns how many nodes are in the tip.
func (l *Linearizer) Unconfirmed() int { return len(l.tip) }

// Add adds a node. The nodes it refers to, and the one before it in its log, must
// have been added or be confirmed. The error wraps [ErrNode].
func (l *Linearizer) Add(n *Node) error {
	w := l.writer(n.Key)
	if len(w.nodes) == 0 && !w.known && !w.started && n.Length > 0 {
		w.offset = n.Length - 1 // the log begins here
	}
	if n.Length != w.length()+1 {
		return fmt.Errorf("%w: node %d of a log of which there are %d", ErrNode, n.Length, w.length())
	}
	if n.Batch == 0 || n.Optimistic && n.Batch != 1 {
		return fmt.Errorf("%w: batch %d", ErrNode, n.Batch)
	}
	n.writer, n.deps = w, nil
	for _, h := range n.Heads {
		hw := l.writers[h.Key]
		if hw == nil {
			hw = l.writer(h.Key)
			hw.offset, hw.started = h.Length, true
		}
		if h.Length > hw.length() || h.Key == n.Key && h.Length >= n.Length {
			return fmt.Errorf("%w: it refers to node %d of a log of which there are %d", ErrNode, h.Length, hw.length())
		}
		if d := hw.before(h.Length); d != nil && !d.confirmed && !slices.Contains(n.deps, d) {
			n.deps = append(n.deps, d)
		}
	}
	if d := w.before(n.Length - 1); d != nil && !d.confirmed && !slices.Contains(n.deps, d) {
		n.deps = append(n.deps, d)
	}
	n.clock = make([]uint64, len(l.indexers))
	for _, d := range n.deps {
		for i, v := range d.clock {
			n.clock[i] = max(n.clock[i], v)
		}
	}
	if w.indexer >= 0 {
		n.clock[w.indexer] = n.Length
	}
	w.nodes = append(w.nodes, n)
	if l.merge(n) {
		l.merges = append(l.merges, n)
	}
	l.tip = append(l.tip, n)
	l.added++
	if n.Optimistic {
		l.optimistic++
	}
	return nil
}

// Update returns the nodes that have become confirmed since the last call, in
// their final order, and all others in the order they have now. Complete batches
// must have been added. The tip is valid until the next call.
func (l *Linearizer) Update() (confirmed, tip []*Node) {
	for {
		group := l.shift()
		if len(group) == 0 {
			break
		}
		below := l.below(group)
		l.order(below)
		for _, n := range below {
			n.confirmed = true
			n.writer.gone, n.writer.known = max(n.writer.gone, n.Length), true
		}
		l.merges = slices.DeleteFunc(l.merges, func(n *Node) bool { return n.confirmed })
		confirmed = append(confirmed, below...)
	}
	if len(confirmed) > 0 {
		l.drop(confirmed)
		l.order(l.tip)
	} else {
		l.place()
	}
	l.added = 0
	return confirmed, l.tip
}

// drop forgets confirmed nodes.
func (l *Linearizer) drop(confirmed []*Node) {
	for _, n := range confirmed {
		w := n.writer
		w.nodes[n.Length-1-w.offset] = nil
		if n.Optimistic {
			l.optimistic--
		}
	}
	for _, n := range confirmed {
		w := n.writer
		for len(w.nodes) > 0 && w.nodes[0] == nil {
			w.nodes = w.nodes[1:]
			w.offset++
		}
	}
	l.tip = slices.DeleteFunc(l.tip, func(n *Node) bool { return n.confirmed })
	for _, n := range l.tip {
		n.deps = slices.DeleteFunc(n.deps, func(d *Node) bool { return d.confirmed })
	}
}

// below returns the nodes of group and everything unconfirmed that they depend
// on, whole batches of all, in an order in which nodes come after what they
// depend on.
func (l *Linearizer) below(group []*Node) []*Node {
	l.walks++
	var all, stack []*Node
	visit := func(n *Node) {
		if !n.confirmed && n.mark != l.walks {
			n.mark = l.walks
			all, stack = append(all, n), append(stack, n)
		}
	}
	for _, n := range group {
		visit(n)
	}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, d := range n.deps {
			visit(d)
		}
		if next := n.writer.get(n.Length); n.Batch > 1 && next != nil {
			visit(next)
		}
	}
	return all
}
