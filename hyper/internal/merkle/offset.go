package merkle

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
)

// ErrBeyondEnd is the error of looking for a byte beyond the end of the log.
var ErrBeyondEnd = errors.New("merkle: beyond the end of the log")

// ByteOffset returns the number of bytes, in stored form, before the leftmost
// block under x. For twice the length it is the length in bytes.
func (t *Tree) ByteOffset(r Reader, x uint64) (uint64, error) {
	target := flattree.LeftSpan(x)
	if target == 2*t.Length {
		return t.ByteLength, nil
	}
	var offset uint64
	for i := range t.Roots {
		root := &t.Roots[i]
		if flattree.RightSpan(root.Index) < target {
			offset += root.Size
			continue
		}
		cur := root.Index
		for flattree.LeftSpan(cur) != target {
			left, right := flattree.Children(cur)
			if target <= flattree.RightSpan(left) {
				cur = left
				continue
			}
			n, err := get(r, left)
			if err != nil {
				return 0, err
			}
			offset += n.Size
			cur = right
		}
		return offset, nil
	}
	return 0, fmt.Errorf("%w: node %d of a log of %d blocks", ErrBeyondEnd, x, t.Length)
}

// Position is where a byte offset falls.
type Position struct {
	Block  uint64 // first block that may hold the byte
	Offset uint64 // bytes from the start of Block, if Exact
	Exact  bool
	// If not Exact, the byte lies in one of the blocks Block to End-1, and the
	// nodes below Top, which spans them, are not stored. Offset counts from the
	// start of Block.
	End uint64
	Top uint64
}

// Seek finds the block that holds the byte at offset bytes, where padding bytes
// at the start of each block are not counted. The end of the log is found as
// the block one past the last. It is [ErrBeyondEnd] to seek further.
func (t *Tree) Seek(r Reader, bytes, padding uint64) (Position, error) {
	if bytes == 0 {
		return Position{Exact: true}, nil
	}
	for i := range t.Roots {
		root := &t.Roots[i]
		size := unpadded(root, padding)
		if bytes == size {
			return Position{Block: flattree.RightSpan(root.Index)/2 + 1, Exact: true}, nil
		}
		if bytes > size {
			bytes -= size
			continue
		}
		return descend(r, root.Index, bytes, padding)
	}
	return Position{}, ErrBeyondEnd
}

func descend(r Reader, x, bytes, padding uint64) (Position, error) {
	for flattree.Depth(x) > 0 {
		left, right := flattree.Children(x)
		n, ok, err := r.Node(left)
		if err != nil {
			return Position{}, fmt.Errorf("read tree node %d: %w", left, err)
		}
		if !ok {
			return Position{Block: flattree.LeftSpan(x) / 2, Offset: bytes, End: flattree.RightSpan(x)/2 + 1, Top: x}, nil
		}
		size := unpadded(&n, padding)
		switch {
		case bytes == size:
			return Position{Block: flattree.RightSpan(left)/2 + 1, Exact: true}, nil
		case bytes < size:
			x = left
		default:
			bytes -= size
			x = right
		}
	}
	return Position{Block: x / 2, Offset: bytes, Exact: true}, nil
}

// unpadded is the size of n without the padding of its blocks. A peer may lie
// about sizes and padding, so it never goes below zero.
func unpadded(n *Node, padding uint64) uint64 {
	leaves := flattree.LeafCount(n.Index)
	if padding > 0 && leaves > n.Size/padding {
		return 0
	}
	return n.Size - padding*leaves
}
