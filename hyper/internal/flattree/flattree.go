package flattree

import "math/bits"

// Depth returns the height of x above the leaves: 0 for a leaf.
func Depth(x uint64) uint { return uint(bits.TrailingZeros64(^x)) }

// Offset returns how many nodes of the same depth lie to the left of x.
func Offset(x uint64) uint64 { return x >> (Depth(x) + 1) }

// Index returns the node with the given depth and offset. It reverses [Depth]
// and [Offset].
func Index(depth uint, offset uint64) uint64 {
	return offset<<(depth+1) | (1<<depth - 1)
}

// Parent returns the node above x.
func Parent(x uint64) uint64 {
	// The lowest zero bit becomes one: one level up. The bit above it is the
	// side x hangs on, which the parent forgets.
	low := ^x & (x + 1)
	return (x | low) &^ (low << 1)
}

// Sibling returns the other child of x's parent.
func Sibling(x uint64) uint64 {
	low := ^x & (x + 1)
	return x ^ low<<1
}

// Children returns both nodes directly below x. A leaf is its own child.
func Children(x uint64) (left, right uint64) {
	half := (^x & (x + 1)) >> 1
	return x - half, x + half
}

// LeftChild returns the left node directly below x; a leaf is its own child.
func LeftChild(x uint64) uint64 { return x - (^x&(x+1))>>1 }

// RightChild returns the right node directly below x; a leaf is its own child.
func RightChild(x uint64) uint64 { return x + (^x&(x+1))>>1 }

// LeftSpan returns the leftmost leaf under x.
func LeftSpan(x uint64) uint64 { return x & (x + 1) }

// RightSpan returns the rightmost leaf under x.
func RightSpan(x uint64) uint64 { return (x | (x + 1)) - 1 }

// LeafCount returns the number of leaves under x.
func LeafCount(x uint64) uint64 { return ^x & (x + 1) }

// Contains tells whether y is x or lies below it.
func Contains(x, y uint64) bool { return LeftSpan(x) <= y && y <= RightSpan(x) }

// FullRoots appends to dst the roots of a log of length blocks, from left to
// right, and returns the extended slice. There is one per one bit of length.
func FullRoots(length uint64, dst []uint64) []uint64 {
	var done uint64 // leaves under the roots so far
	for length != 0 {
		n := uint64(1) << (bits.Len64(length) - 1)
		dst = append(dst, 2*done+n-1)
		done += n
		length -= n
	}
	return dst
}
