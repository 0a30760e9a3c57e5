package hyperblobs

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

type vectorID struct {
	Length    int
	Seed      uint32
	BlockSize int
	Batch     bool
	ID        ID
}

type vectorCase struct {
	Name          string
	IDs           []vectorID
	EncryptionKey string
	Length        uint64
	TreeHash      string
	Leaves        []string
	Reads         []struct {
		Of, Start   int
		Length, End *int
		Hex         string
	}
	Plain, V1, V2 ID
	Maps          []string
	ByteLengthV2  uint64
}

func vectorsOf(t *testing.T, name string) vectorCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/struct-blobs.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []vectorCase }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no vector %q", name)
	return vectorCase{}
}

func TestPlainBlobsMatchJavaScript(t *testing.T) {
	v := vectorsOf(t, "blobs")
	core := newCore(t)
	b := New(core)
	batch := b.Batch()
	for i, want := range v.IDs {
		data := prngBytes(want.Seed, want.Length)
		if want.Batch {
			batch.Add(data)
			continue
		}
		size := BlockSize
		if want.BlockSize > 0 {
			size = want.BlockSize
		}
		id, err := b.putSized(t.Context(), data, size)
		if err != nil || id != want.ID {
			t.Errorf("blob %d: %+v, %v, want %+v", i, id, err, want.ID)
		}
	}
	ids, err := batch.Flush(t.Context())
	if err != nil || len(ids) != 2 || ids[0] != v.IDs[7].ID || ids[1] != v.IDs[8].ID {
		t.Errorf("batch: %+v, %v, want %+v", ids, err, v.IDs[7:])
	}
	for i, want := range v.IDs {
		got, err := b.Get(t.Context(), want.ID)
		if err != nil || !bytes.Equal(got, prngBytes(want.Seed, want.Length)) {
			t.Errorf("get blob %d: %d bytes, %v", i, len(got), err)
		}
	}
	for _, read := range v.Reads {
		r, err := b.Open(t.Context(), v.IDs[read.Of].ID)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if read.Length != nil {
			n = *read.Length
		} else {
			n = *read.End - read.Start + 1
		}
		got, err := io.ReadAll(io.NewSectionReader(r, int64(read.Start), int64(n)))
		if err != nil || hex.EncodeToString(got) != read.Hex {
			t.Errorf("read %d+%d: %x, %v, want %s", read.Start, n, got, err, read.Hex)
		}
	}
	for i, want := range v.Leaves {
		block, err := core.GetLocal(uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if got := hypercrypto.LeafHash(block).String(); got != want {
			t.Errorf("leaf %d: %s, want %s", i, got, want)
		}
	}
	checkTreeHash(t, b, v.TreeHash)
}

func checkTreeHash(t *testing.T, b *Blobs, want string) {
	t.Helper()
	if got := b.Core().TreeHash().String(); got != want {
		t.Errorf("tree hash %s, want %s", got, want)
	}
}

func TestMappedBlobsMatchJavaScript(t *testing.T) {
	v := vectorsOf(t, "blobs-dedup")
	b := New(newCore(t))
	chunks := [][]byte{prngBytes(1, 100), prngBytes(2, 50), prngBytes(1, 100), prngBytes(3, 30)}
	write := func(d *dedup, chunks ...[]byte) ID {
		w := b.newMapWriter(t.Context(), d)
		for _, c := range chunks {
			if err := w.add(c); err != nil {
				t.Fatal(err)
			}
		}
		id, err := w.finish()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	plain := write(nil, chunks...)
	v1 := write(newDedup(b.core, nil), chunks...)
	base, err := b.Map(t.Context(), v1)
	if err != nil {
		t.Fatal(err)
	}
	v2 := write(newDedup(b.core, base), prngBytes(2, 50), prngBytes(9, 10), prngBytes(3, 30))
	for i, c := range []struct{ got, want ID }{{plain, v.Plain}, {v1, v.V1}, {v2, v.V2}} {
		if c.got != c.want {
			t.Errorf("id %d: %+v, want %+v", i, c.got, c.want)
		}
		block, err := b.core.GetLocal(c.want.BlockOffset)
		if err != nil || hex.EncodeToString(block) != v.Maps[i] {
			t.Errorf("map %d: %x, %v, want %s", i, block, err, v.Maps[i])
		}
	}
	if n, err := b.Size(t.Context(), v2); err != nil || n != v.ByteLengthV2 {
		t.Errorf("size %d, %v, want %d", n, err, v.ByteLengthV2)
	}
	got, err := b.Get(t.Context(), v1)
	if err != nil || !bytes.Equal(got, bytes.Join(chunks, nil)) {
		t.Errorf("mapped content differs: %d bytes, %v", len(got), err)
	}
	checkTreeHash(t, b, v.TreeHash)
}
