package autobase

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/linearizer"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// ErrLog is the error of a writer's log that breaks the rules. No more of it is
// read; what was read before counts.
var ErrLog = errors.New("autobase: the log breaks the rules")

// node is one block of a writer's log.
type node struct {
	oplog.Ref
	w     *writer
	block *oplog.Block
	lin   *linearizer.Node // in the order of the present epoch
}

// inOrder makes the node one of the present epoch.
func (e *engine) inOrder(n *node) *linearizer.Node {
	n.lin = &linearizer.Node{Ref: linearizer.Ref(n.Ref), Batch: n.block.Batch, Optimistic: n.block.Optimistic, Empty: n.block.Value == nil, Value: n}
	n.lin.Heads = make([]linearizer.Ref, 0, len(n.block.Heads))
	for _, h := range n.block.Heads {
		r := linearizer.Ref(h)
		if d := e.named(h); d != nil {
			r = linearizer.Ref(d.Ref)
		}
		if !slices.Contains(n.lin.Heads, r) {
			n.lin.Heads = append(n.lin.Heads, r)
		}
	}
	return n.lin
}

// named returns the node that a head stands for, nil if it is confirmed. Nobody
// has a reason to name the middle of an append. Who does depends on all of it:
// that holds for everybody, whether the append is confirmed there already or not.
func (e *engine) named(h oplog.Ref) *node {
	d := e.node(h)
	if d == nil || d.block.Batch == 1 {
		return d
	}
	h.Length += d.block.Batch - 1
	return e.node(h)
}

// checkBatch checks the blocks of one append of the log k that begin at length
// first.
func checkBatch(k hypercrypto.Key, first uint64, blocks []*oplog.Block) error {
	for i, b := range blocks {
		length := first + uint64(i)
		if b.Batch != uint64(len(blocks)-i) {
			return fmt.Errorf("%w: node %d counts %d to the end of its batch, not %d", ErrLog, length, b.Batch, len(blocks)-i)
		}
		if b.Optimistic && (len(blocks) != 1 || b.Value == nil) {
			return fmt.Errorf("%w: node %d is optimistic without being a single value", ErrLog, length)
		}
		seen := make(map[oplog.Ref]struct{}, len(b.Heads))
		for _, h := range b.Heads {
			if _, ok := seen[h]; ok {
				return fmt.Errorf("%w: node %d names head %d of log %s twice", ErrLog, length, h.Length, h.Key)
			}
			seen[h] = struct{}{}
			if h.Length == 0 || h.Key == k && h.Length >= length {
				return fmt.Errorf("%w: node %d names head %d of log %s", ErrLog, length, h.Length, h.Key)
			}
			if i > 0 && h.Key == k && h.Length < length-1 && h.Length >= first {
				return fmt.Errorf("%w: node %d names the middle of its batch", ErrLog, length)
			}
		}
	}
	return nil
}
