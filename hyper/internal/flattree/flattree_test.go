package flattree

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/hypercore-flat-tree.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		FullRoots []struct {
			Length uint64
			Roots  []uint64
		}
		Nodes []struct {
			Index, Offset, Parent, Sibling, Leaves uint64
			Depth                                  uint
			Children                               *[2]uint64
			Spans                                  [2]uint64
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.FullRoots) == 0 || len(v.Nodes) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range v.FullRoots {
		if got := FullRoots(c.Length, nil); !slices.Equal(got, c.Roots) {
			t.Errorf("FullRoots(%d) = %d, want %d", c.Length, got, c.Roots)
		}
	}
	for _, c := range v.Nodes {
		x := c.Index
		if Depth(x) != c.Depth || Offset(x) != c.Offset || Index(c.Depth, c.Offset) != x {
			t.Errorf("%d: depth %d, offset %d, want %d, %d", x, Depth(x), Offset(x), c.Depth, c.Offset)
		}
		if Parent(x) != c.Parent || Sibling(x) != c.Sibling {
			t.Errorf("%d: parent %d, sibling %d, want %d, %d", x, Parent(x), Sibling(x), c.Parent, c.Sibling)
		}
		if LeftSpan(x) != c.Spans[0] || RightSpan(x) != c.Spans[1] || LeafCount(x) != c.Leaves {
			t.Errorf("%d: spans %d to %d, %d leaves, want %v, %d", x, LeftSpan(x), RightSpan(x), LeafCount(x), c.Spans, c.Leaves)
		}
		l, r := Children(x)
		want := [2]uint64{x, x}
		if c.Children != nil {
			want = *c.Children
		}
		if l != want[0] || r != want[1] || LeftChild(x) != l || RightChild(x) != r {
			t.Errorf("%d: children %d and %d, want %v", x, l, r, want)
		}
	}
}

// node is a tree built with pointers, the independent description that the
// arithmetic is compared with.
type node struct {
	index       uint64
	depth       uint
	left, right *node
	parent      *node
}

// build makes the complete tree over the leaves from to from+2^depth-1.
func build(depth uint, from uint64) *node {
	if depth == 0 {
		return &node{index: 2 * from}
	}
	half := uint64(1) << (depth - 1)
	n := &node{depth: depth, left: build(depth-1, from), right: build(depth-1, from+half)}
	n.left.parent, n.right.parent = n, n
	n.index = 2*(from+half) - 1 // in order: between the two halves
	return n
}

func (n *node) walk(fn func(*node)) {
	fn(n)
	if n.left != nil {
		n.left.walk(fn)
		n.right.walk(fn)
	}
}

func TestAgainstPointerTree(t *testing.T) {
	root := build(8, 0)
	root.walk(func(n *node) {
		x := n.index
		if Depth(x) != n.depth || Index(Depth(x), Offset(x)) != x {
			t.Fatalf("%d: depth %d, want %d; back to %d", x, Depth(x), n.depth, Index(Depth(x), Offset(x)))
		}
		if n.parent != nil {
			sibling := n.parent.left
			if sibling == n {
				sibling = n.parent.right
			}
			if Parent(x) != n.parent.index || Sibling(x) != sibling.index {
				t.Fatalf("%d: parent %d, sibling %d", x, Parent(x), Sibling(x))
			}
		}
		if n.left != nil {
			if l, r := Children(x); l != n.left.index || r != n.right.index {
				t.Fatalf("%d: children %d, %d", x, l, r)
			}
		}
		under := map[uint64]bool{}
		var leaves []uint64
		n.walk(func(m *node) {
			under[m.index] = true
			if m.depth == 0 {
				leaves = append(leaves, m.index)
			}
		})
		if LeftSpan(x) != leaves[0] || RightSpan(x) != leaves[len(leaves)-1] || LeafCount(x) != uint64(len(leaves)) {
			t.Fatalf("%d: span %d to %d of %d leaves", x, LeftSpan(x), RightSpan(x), LeafCount(x))
		}
		for y := range uint64(2 << 8) {
			if Contains(x, y) != under[y] {
				t.Fatalf("Contains(%d, %d) = %v", x, y, !under[y])
			}
		}
	})
}

func TestFullRootsCoverEveryLeafOnce(t *testing.T) {
	var buf [64]uint64
	for length := range uint64(3000) {
		next := uint64(0)
		last := ^uint64(0)
		for _, r := range FullRoots(length, buf[:0]) {
			if LeftSpan(r) != 2*next {
				t.Fatalf("length %d: root %d starts at %d, want %d", length, r, LeftSpan(r), 2*next)
			}
			if LeafCount(r) >= last {
				t.Fatalf("length %d: root %d does not shrink", length, r)
			}
			last = LeafCount(r)
			next += last
		}
		if next != length {
			t.Fatalf("length %d: roots cover %d", length, next)
		}
	}
}

func TestLargeNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth := uint(rapid.IntRange(0, 50).Draw(t, "depth"))
		offset := rapid.Uint64Range(0, 1<<(60-depth)).Draw(t, "offset")
		x := Index(depth, offset)
		if Depth(x) != depth || Offset(x) != offset {
			t.Fatalf("Index(%d, %d) = %d has depth %d, offset %d", depth, offset, x, Depth(x), Offset(x))
		}
		p := Parent(x)
		l, r := Children(p)
		if s := Sibling(x); (l != x || r != s) && (l != s || r != x) {
			t.Fatalf("%d: parent %d with children %d, %d, sibling %d", x, p, l, r, s)
		}
		if !Contains(p, x) || Contains(x, p) || LeafCount(p) != 2*LeafCount(x) {
			t.Fatalf("%d: parent %d does not contain it", x, p)
		}
	})
}

func TestExtremesDoNotPanic(t *testing.T) {
	const all = ^uint64(0)
	if Depth(all) != 64 || Offset(all) != 0 || LeafCount(all) != 0 {
		t.Errorf("depth %d, offset %d, leaves %d", Depth(all), Offset(all), LeafCount(all))
	}
	if n := len(FullRoots(all, nil)); n != 64 {
		t.Errorf("%d roots", n)
	}
}

func TestFullRootsDoesNotAllocate(t *testing.T) {
	var buf [64]uint64
	if n := testing.AllocsPerRun(100, func() { FullRoots(1<<40-1, buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFullRoots(b *testing.B) {
	var buf [64]uint64
	for b.Loop() {
		FullRoots(1234567, buf[:0])
	}
}

func BenchmarkParent(b *testing.B) {
	x := uint64(0)
	for i := range b.N {
		x += Parent(uint64(i))
	}
	_ = x
}
