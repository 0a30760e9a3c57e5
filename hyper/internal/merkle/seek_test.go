package merkle_test

import (
	"errors"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/flattree"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// padded is a log in which every block starts with padding bytes, and some have
// nothing else.
func padded(t testing.TB, n, padding int) *world {
	var blocks [][]byte
	for i := range n {
		blocks = append(blocks, make([]byte, padding+i*5%11))
		for j := range blocks[i] {
			blocks[i][j] = byte(i)
		}
	}
	return grow(t, 0, blocks)
}

// where finds a byte by counting. The end of a block is the start of the next.
func (w *world) where(n int, bytes, padding uint64) (block, offset uint64, ok bool) {
	if bytes == 0 {
		return 0, 0, true
	}
	for i := range n {
		size := uint64(len(w.blocks[i])) - padding
		if bytes < size {
			return uint64(i), bytes, true
		}
		if bytes -= size; bytes == 0 {
			return uint64(i) + 1, 0, true
		}
	}
	return 0, 0, false
}

func TestSeekInFullLog(t *testing.T) {
	for _, padding := range []int{0, 8} {
		w := padded(t, 33, padding)
		for n := 0; n <= 33; n++ {
			tree := &w.trees[n]
			total := tree.ByteLength - uint64(n*padding)
			for bytes := range total + 3 {
				pos, err := tree.Seek(w.nodes, bytes, uint64(padding))
				block, offset, ok := w.where(n, bytes, uint64(padding))
				if !ok {
					if !errors.Is(err, merkle.ErrBeyondEnd) {
						t.Fatalf("%d blocks, byte %d: %v", n, bytes, err)
					}
					continue
				}
				if err != nil || !pos.Exact || pos.Offset != offset {
					t.Fatalf("%d blocks, byte %d: %+v, %v; want %d, %d", n, bytes, pos, err, block, offset)
				}
				// Empty blocks in between belong to either side.
				if lo, hi := min(block, pos.Block), max(block, pos.Block); lo != hi {
					a, errA := tree.ByteOffset(w.nodes, 2*lo)
					b, errB := tree.ByteOffset(w.nodes, 2*hi)
					if errA != nil || errB != nil || b-a != (hi-lo)*uint64(padding) {
						t.Fatalf("%d blocks, byte %d: block %d, want %d", n, bytes, pos.Block, block)
					}
				}
			}
		}
	}
}

func TestByteOffsetOfEveryNode(t *testing.T) {
	w := logOf(t, 33)
	for n := 0; n <= 33; n++ {
		for x := range uint64(2*n + 1) {
			want := uint64(0)
			for i := range flattree.LeftSpan(x) / 2 {
				want += uint64(len(w.blocks[i]))
			}
			if got, err := w.trees[n].ByteOffset(w.nodes, x); err != nil || got != want {
				t.Fatalf("%d blocks, node %d: %d, %v; want %d", n, x, got, err, want)
			}
		}
		if _, err := w.trees[n].ByteOffset(w.nodes, uint64(2*n+2)); !errors.Is(err, merkle.ErrBeyondEnd) {
			t.Errorf("%d blocks: %v", n, err)
		}
	}
}

// TestSeekByProofs resolves every offset on a reader that knows the roots only,
// asking as a downloader does.
func TestSeekByProofs(t *testing.T) {
	for _, padding := range []uint64{0, 8} {
		for _, n := range []int{1, 2, 5, 8, 13, 21, 32} {
			w := padded(t, n, int(padding))
			for bytes := range w.head().ByteLength - uint64(n)*padding {
				r := newReader(w.v)
				r.upgrade(t, w, n)
				var pos merkle.Position
				for tries := 0; ; tries++ {
					var err error
					pos, err = r.tree.Seek(r.nodes, bytes, padding)
					if err != nil || tries > n {
						t.Fatalf("%d blocks, byte %d: %v after %d proofs", n, bytes, err, tries)
					}
					if pos.Exact {
						break
					}
					if pos.Block >= pos.End || flattree.LeftSpan(pos.Top) != 2*pos.Block {
						t.Fatalf("%d blocks, byte %d: %+v", n, bytes, pos)
					}
					// Any block of the range will do.
					b := pos.Block + (bytes+uint64(tries))%(pos.End-pos.Block)
					p := w.prove(t, n, &merkle.Request{
						Hash: &merkle.HashRequest{Index: 2 * b, Levels: uint64(flattree.Depth(pos.Top))},
						Seek: &merkle.SeekRequest{Bytes: bytes, Padding: padding},
					})
					if n <= 8 {
						attack(t, r, w, p)
					}
					r.must(t, p)
					if err := r.check(w); err != nil {
						t.Fatal(err)
					}
				}
				want, err := w.head().Seek(w.nodes, bytes, padding)
				if err != nil || want != pos {
					t.Fatalf("%d blocks, byte %d: %+v, want %+v, %v", n, bytes, pos, want, err)
				}
			}
		}
	}
}

func TestSeekInUpgrade(t *testing.T) {
	for _, padding := range []uint64{0, 8} {
		w := padded(t, 21, int(padding))
		for start := range 21 {
			r := newReader(w.v)
			if start > 0 {
				r.upgrade(t, w, start)
			}
			// Every offset occurs with some of the starts.
			for bytes := uint64(start % 5); bytes < w.head().ByteLength; bytes += 5 {
				p := w.prove(t, 21, &merkle.Request{
					Seek:    &merkle.SeekRequest{Bytes: bytes, Padding: padding},
					Upgrade: &merkle.UpgradeRequest{Start: uint64(start), Length: uint64(21 - start)},
				})
				if start%9 == 5 && bytes%20 == 0 {
					attack(t, r, w, p)
				}
				c := r.clone()
				c.must(t, p)
				if err := c.check(w); err != nil {
					t.Fatalf("from %d, byte %d: %v", start, bytes, err)
				}
			}
		}
	}
}

func TestSeekWithBlockBelowTheOldEnd(t *testing.T) {
	w := logOf(t, 16)
	r := newReader(w.v)
	r.upgrade(t, w, 8)
	for i := range uint64(8) {
		for bytes := range w.trees[8].ByteLength + 3 {
			req := r.blockRequest(t, i)
			req.Seek = &merkle.SeekRequest{Bytes: bytes}
			req.Upgrade = &merkle.UpgradeRequest{Start: 8, Length: 8}
			p, err := w.head().Prove(w.nodes, req, 0)
			if bytes >= w.trees[8].ByteLength {
				if !errors.Is(err, merkle.ErrInvalidRequest) {
					t.Fatalf("block %d, byte %d: %v", i, bytes, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			p.Block.Value, p.Upgrade.Signature = w.blocks[i], w.signature(t, 16)
			c := r.clone()
			c.must(t, p)
			if err := c.check(w); err != nil {
				t.Fatal(err)
			}
		}
	}
}
