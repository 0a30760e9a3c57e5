package hyperbee

import "context"

// del removes a key and reports whether there is something to write. w keeps
// k.
func (w *writer) del(ctx context.Context, k []byte, cas func(prev, next Entry) bool) (bool, error) {
	n, err := w.loadRoot(ctx)
	if err != nil || n == nil {
		return false, err
	}
	w.path = w.path[:0]
	pos := 0
	for {
		if err := w.push(n, pos); err != nil {
			return false, err
		}
		var found bool
		if pos, found, err = n.search(ctx, w, k); err != nil {
			return false, err
		}
		if found {
			break
		}
		if n.leaf() {
			return false, nil
		}
		if n, err = w.child(ctx, n, pos); err != nil {
			return false, err
		}
	}
	if cas != nil {
		prev, err := w.r.block(ctx, n.keys[pos].seq, true)
		if err != nil {
			return false, err
		}
		if !cas(w.t.entry(n.keys[pos].seq, &prev), w.next(k, nil)) {
			return false, nil
		}
	}
	if n.leaf() {
		n.removeKey(pos)
	} else if err := w.replaceWithNearest(ctx, n, pos); err != nil {
		return false, err
	}
	for _, s := range w.path {
		s.n.changed = true
	}
	root, err := w.rebalance(ctx)
	if err != nil {
		w.failed = err
		return false, err
	}
	w.commit(root, k, nil)
	return true, nil
}

// replaceWithNearest puts the nearest key of a leaf in the place of key i of
// the inner node n, from the side whose leaf has more keys, and extends the path
// to that leaf. Nothing is changed when it fails.
func (w *writer) replaceWithNearest(ctx context.Context, n *node, i int) error {
	left, err := w.child(ctx, n, i)
	if err != nil {
		return err
	}
	right, err := w.child(ctx, n, i+1)
	if err != nil {
		return err
	}
	leftLeaf, err := w.edgeLeaf(ctx, left, false)
	if err != nil {
		return err
	}
	rightLeaf, err := w.edgeLeaf(ctx, right, true)
	if err != nil {
		return err
	}
	if len(leftLeaf.keys) < len(rightLeaf.keys) {
		if err := w.pushEdge(right, i+1, true); err != nil {
			return err
		}
		n.keys[i] = rightLeaf.keys[0]
		rightLeaf.dropKey(0)
		return nil
	}
	if err := w.pushEdge(left, i, false); err != nil {
		return err
	}
	last := len(leftLeaf.keys) - 1
	n.keys[i] = leftLeaf.keys[last]
	leftLeaf.dropKey(last)
	return nil
}

// edgeLeaf returns the first or last leaf below n and reads the nodes on the
// way.
func (w *writer) edgeLeaf(ctx context.Context, n *node, first bool) (*node, error) {
	for depth := 0; !n.leaf(); depth++ {
		if depth >= maxDepth {
			return nil, errTooDeep()
		}
		i := 0
		if !first {
			i = len(n.children) - 1
		}
		var err error
		if n, err = w.child(ctx, n, i); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// pushEdge extends the path by the nodes that edgeLeaf passed.
func (w *writer) pushEdge(n *node, pos int, first bool) error {
	for {
		if err := w.push(n, pos); err != nil {
			return err
		}
		if n.leaf() {
			return nil
		}
		pos = 0
		if !first {
			pos = len(n.children) - 1
		}
		n = n.children[pos].node
	}
}

// rebalance restores the minimum of keys along the path, from its end, and
// returns the root.
func (w *writer) rebalance(ctx context.Context) (*node, error) {
	root := w.path[0].n
	for level := len(w.path) - 1; level > 0; level-- {
		n, i, p := w.path[level].n, w.path[level].pos, w.path[level-1].n
		if len(n.keys) >= minKeys {
			return root, nil
		}
		var left, right *node
		var err error
		if i > 0 {
			if left, err = w.child(ctx, p, i-1); err != nil {
				return nil, err
			}
		}
		if i < len(p.children)-1 {
			if right, err = w.child(ctx, p, i+1); err != nil {
				return nil, err
			}
		}
		if left != nil && len(left.keys) > minKeys {
			borrowLeft(p, i, n, left)
			return root, nil
		}
		if right != nil && len(right.keys) > minKeys {
			borrowRight(p, i, n, right)
			return root, nil
		}
		if left != nil {
			i, right = i-1, n
		} else {
			left = n
		}
		left.changed = true
		left.keys = append(append(left.keys, p.keys[i]), right.keys...)
		left.children = append(left.children, right.children...)
		p.removeKey(i)
	}
	if len(root.keys) == 0 && !root.leaf() {
		return w.child(ctx, root, 0)
	}
	return root, nil
}

// borrowLeft moves a key from the left neighbour through the parent p to n,
// which is child i of p.
func borrowLeft(p *node, i int, n, left *node) {
	left.changed = true
	last := len(left.keys) - 1
	n.insertKey(0, p.keys[i-1])
	p.keys[i-1] = left.keys[last]
	left.dropKey(last)
	if !left.leaf() {
		last := len(left.children) - 1
		n.insertChild(0, left.children[last])
		left.dropChild(last)
	}
}

// borrowRight is borrowLeft with the right neighbour.
func borrowRight(p *node, i int, n, right *node) {
	right.changed = true
	n.keys = append(n.keys, p.keys[i])
	p.keys[i] = right.keys[0]
	right.dropKey(0)
	if !right.leaf() {
		n.children = append(n.children, right.children[0])
		right.dropChild(0)
	}
}
