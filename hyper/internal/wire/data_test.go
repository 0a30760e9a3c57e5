package wire

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

func blockData(nodes, size int) *Data {
	m := &Data{Request: 70000, Proof: merkle.Proof{Fork: 1, Block: &merkle.BlockPart{Index: 123456, Value: make([]byte, size)}}}
	for i := range nodes {
		m.Block.Nodes = append(m.Block.Nodes, merkle.Node{Index: uint64(i) << 10, Size: 65536})
	}
	return m
}

func TestDecodedBlockAndSignatureAreViews(t *testing.T) {
	m := blockData(1, 5)
	m.Upgrade = &merkle.UpgradePart{Length: 1, Signature: []byte("signature")}
	body := m.AppendTo(nil)
	got, err := DecodeData(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 'x'
	}
	if !bytes.Equal(got.Block.Value, []byte("xxxxx")) || !bytes.Equal(got.Upgrade.Signature, []byte("xxxxxxxxx")) {
		t.Errorf("%q, %q", got.Block.Value, got.Upgrade.Signature)
	}
	if got.Block.Nodes[0] != m.Block.Nodes[0] {
		t.Error("nodes share memory with the input")
	}
	if cap(got.Block.Value) != 5 {
		t.Error("appending to the value would write into the message")
	}
}

func TestDecodeDataAllocates(t *testing.T) {
	for _, c := range []struct{ nodes, allocs int }{{0, 1}, {1, 2}, {20, 2}} {
		body := blockData(c.nodes, 65536).AppendTo(nil)
		if got := testing.AllocsPerRun(100, func() {
			if _, err := DecodeData(body); err != nil {
				t.Fatal(err)
			}
		}); got > float64(c.allocs) {
			t.Errorf("%d nodes: %v allocations", c.nodes, got)
		}
	}
}

func TestClaimedCountsDoNotAllocate(t *testing.T) {
	// A block with an empty value and a claim of 2^20 nodes, a claim of 2^20
	// words, and one of 2^53-1 bytes.
	data := compact.AppendUint([]byte{partBlock, 1, 0, 0, 0}, compact.MaxArray)
	words := compact.AppendUint([]byte{0}, compact.MaxArray)
	name := compact.AppendUint(nil, compact.MaxUint)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, err := range []error{second(DecodeData(data)), second(DecodeBitfield(words)), second(DecodeExtension(name))} {
		if err == nil {
			t.Error("accepted")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func second[T any](_ T, err error) error { return err }

func TestBitfieldIsPaddedToWords(t *testing.T) {
	m := Bitfield{Start: 64, Bits: []byte{1, 2, 3, 4, 5}}
	got, err := DecodeBitfield(encode(t, m))
	if err != nil || got.Start != 64 || !bytes.Equal(got.Bits, []byte{1, 2, 3, 4, 5, 0, 0, 0}) {
		t.Errorf("%v, %v", got, err)
	}
}

func BenchmarkDecodeData(b *testing.B) {
	for _, c := range []struct {
		name        string
		nodes, size int
	}{{"1node-64KiB", 1, 65536}, {"10nodes-100B", 10, 100}} {
		b.Run(c.name, func(b *testing.B) {
			body := blockData(c.nodes, c.size).AppendTo(nil)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeData(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendData(b *testing.B) {
	m := blockData(1, 65536)
	buf := make([]byte, 0, m.Size())
	b.SetBytes(int64(m.Size()))
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendTo(buf[:0])
	}
}

func BenchmarkRequest(b *testing.B) {
	m := Request{ID: 70000, Request: merkle.Request{Block: &merkle.BlockRequest{Index: 1 << 20, Levels: 2}}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendTo(buf[:0])
		if _, err := DecodeRequest(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSync(b *testing.B) {
	m := Sync{Length: 1 << 20, RemoteLength: 1 << 19}
	body := m.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeSync(body); err != nil {
			b.Fatal(err)
		}
	}
}
