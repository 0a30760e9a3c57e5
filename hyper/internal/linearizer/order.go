package linearizer

import (
	"container/heap"
	"slices"
)

// fewAdded is up to how many new nodes are put into the ordered tip one by one
// instead of ordering it anew.
const fewAdded = 16

// place puts the nodes that were added to the end of the tip into their places.
func (l *Linearizer) place() {
	if l.added > fewAdded && l.optimistic == 0 {
		l.order(l.tip)
		return
	}
	for i := len(l.tip) - l.added; i < len(l.tip); i++ {
		insert(l.tip[:i+1])
	}
}

// order puts nodes into their order: without optimistic ones that is, among all
// orders in which nodes come after what they depend on, the smallest one. The
// nodes must contain everything unconfirmed that they depend on.
func (l *Linearizer) order(nodes []*Node) {
	if slices.ContainsFunc(nodes, func(n *Node) bool { return n.Optimistic }) {
		topological(nodes)
		for i := range nodes {
			insert(nodes[:i+1])
		}
		return
	}
	topological(nodes)
}

// topological puts nodes into the smallest order in which they come after what
// they depend on.
func topological(nodes []*Node) {
	if len(nodes) < 2 {
		return
	}
	for i, n := range nodes {
		n.at = i
	}
	within := func(n *Node) bool { return n.at < len(nodes) && nodes[n.at] == n }
	waits := make([]int, len(nodes)) // for how many others
	followers := make([][]int, len(nodes))
	var ready queue
	for i, n := range nodes {
		for _, d := range n.deps {
			if !d.confirmed && within(d) {
				waits[i]++
				followers[d.at] = append(followers[d.at], i)
			}
		}
		if waits[i] == 0 {
			ready = append(ready, n)
		}
	}
	heap.Init(&ready)
	out := make([]*Node, 0, len(nodes))
	for len(ready) > 0 {
		n := heap.Pop(&ready).(*Node)
		out = append(out, n)
		for _, f := range followers[n.at] {
			if waits[f]--; waits[f] == 0 {
				heap.Push(&ready, nodes[f])
			}
		}
	}
	if len(out) != len(nodes) {
		panic("linearizer: nodes depend on each other in a circle") // Add lets none in
	}
	copy(nodes, out)
}

// queue is a heap of nodes, smallest first.
type queue []*Node

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return compare(q[i], q[j]) < 0 }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*Node)) }
func (q *queue) Pop() any {
	old := *q
	n := old[len(old)-1]
	*q = old[:len(old)-1]
	return n
}

// list is an ordered list into which a node is put at a time.
type list []*Node

// insert puts the last node of an otherwise ordered list into its place. Nodes
// on which it depends and that are optimistic are let rise again: now that a
// member has seen them they may come earlier.
func insert(l list) {
	i := len(l) - 1
	n := l[i]
	if !slices.ContainsFunc(n.deps, func(d *Node) bool { return d.Optimistic && !d.confirmed }) {
		l.rise(l.sink(i))
		return
	}
	below := optimisticBelow(n)
	var moving []*Node // in the order of the list before anything moves
	for _, o := range l[:i] {
		if below[o] {
			moving = append(moving, o)
		}
	}
	for _, o := range moving {
		l.sink(slices.Index(l, o))
	}
	l.rise(l.sink(slices.Index(l, n)))
	for _, o := range slices.Backward(moving) {
		l.riseOptimistic(slices.Index(l, o))
	}
}

// optimisticBelow returns the optimistic nodes that n depends on, through
// optimistic nodes only.
func optimisticBelow(n *Node) map[*Node]bool {
	seen := make(map[*Node]bool)
	stack := []*Node{n}
	for len(stack) > 0 {
		x := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, d := range x.deps {
			if d.Optimistic && !d.confirmed && !seen[d] {
				seen[d] = true
				stack = append(stack, d)
			}
		}
	}
	return seen
}

// sink moves the node at i to the front as far as it does not pass what it
// depends on, and returns its place.
func (l list) sink(i int) int {
	for ; i > 0 && !l[i].links(l[i-1]); i-- {
		l[i], l[i-1] = l[i-1], l[i]
	}
	return i
}

// rise moves the node at i to its place behind the smaller ones.
func (l list) rise(i int) int {
	if l[i].Optimistic {
		return l.riseOptimistic(i)
	}
	for ; i+1 < len(l); i++ {
		other := l[i+1]
		for k := i + 1; other.Optimistic; other = l[k] {
			if k++; k == len(l) {
				return i
			}
		}
		if !greater(l[i], other) {
			return i
		}
		l[i], l[i+1] = l[i+1], l[i]
	}
	return i
}

// riseOptimistic moves the optimistic node at i behind everything that does not
// depend on it, and before the greater ones among optimistic nodes.
func (l list) riseOptimistic(i int) int {
	for ; i+1 < len(l) && !l[i+1].links(l[i]); i++ {
		l[i], l[i+1] = l[i+1], l[i]
	}
	for ; i > 0 && l[i-1].Optimistic && greater(l[i-1], l[i]); i-- {
		l[i], l[i-1] = l[i-1], l[i]
	}
	return i
}

// greater tells whether a belongs behind b.
func greater(a, b *Node) bool { return !b.links(a) && compare(a, b) > 0 }
