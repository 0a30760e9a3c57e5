package hyperblobs

import (
	"bytes"
	"testing"
)

func TestChunkerCutsWhereWriteCuts(t *testing.T) {
	b := New(newCore(t))
	data := prngBytes(5, 8<<20)
	w := write(t, b, data, nil)
	pieces, err := b.Map(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	var c Chunker
	var blocks [][]byte
	for i, rest := 0, data; len(rest) > 0; i++ {
		n := c.Cut(rest)
		if uint64(n) != pieces[i].Length {
			t.Fatalf("chunk %d has %d bytes, want %d", i, n, pieces[i].Length)
		}
		blocks, rest = append(blocks, rest[:n]), rest[n:]
	}
	id, err := b.PutBlocks(t.Context(), blocks)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), id); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read back %d bytes: %v", len(got), err)
	}
	if _, err := b.PutBlocks(t.Context(), [][]byte{{1}, nil}); err == nil {
		t.Error("an empty block is accepted")
	}
}
