package hyperblobs

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

func TestReaderReads(t *testing.T) {
	b := New(newCore(t))
	for _, n := range []int{0, 1, BlockSize, 200_000, SmallSize + 300_000} {
		data := prngBytes(uint32(n+3), n)
		w := write(t, b, data, nil)
		r, err := b.Open(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r.Size() != int64(n) {
			t.Errorf("size %d, want %d", r.Size(), n)
		}
		if err := iotest.TestReader(r, data); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := r.Seek(int64(n/3), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := r.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), data[n/3:]) {
			t.Errorf("%d bytes: WriteTo from the middle gave %d, %v", n, out.Len(), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTruncatedLogFailsReads(t *testing.T) {
	core := newCore(t)
	b := New(core)
	w := write(t, b, prngBytes(1, 100_000), nil)
	r, err := b.Open(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Truncate(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	write(t, b, prngBytes(2, 100_000), nil)
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, hypercore.ErrTruncated) {
		t.Errorf("read after truncation: %v", err)
	}
}

func TestClearKeepsSharedBlocks(t *testing.T) {
	b := New(newCore(t))
	data := prngBytes(8, 2<<20)
	v1 := write(t, b, data, nil)
	data[0] ^= 1
	v2 := write(t, b, data, &v1.ID)
	kept := map[uint64]bool{}
	runs, err := b.Runs(t.Context(), v2.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		for i := r.Start; i < r.End; i++ {
			kept[i] = true
		}
	}
	if err := b.Clear(t.Context(), v1.ID, func(i uint64) bool { return kept[i] }); err != nil {
		t.Fatal(err)
	}
	if b.Has(t.Context(), v1.ID) || !b.Has(t.Context(), v2.ID) {
		t.Error("clear took the wrong blocks")
	}
	if err := b.Clear(t.Context(), v2.ID, nil); err != nil {
		t.Fatal(err)
	}
	if b.Has(t.Context(), v2.ID) {
		t.Error("cleared blob is still there")
	}
	if _, err := b.LocalOnly().Get(t.Context(), v2.ID); !errors.Is(err, hypercore.ErrNotAvailable) {
		t.Errorf("read of a cleared block: %v", err)
	}
}

func TestInvalidIDsAreRefused(t *testing.T) {
	core := newCore(t)
	b := New(core)
	ctx := t.Context()
	if _, err := core.Append(ctx, []byte("abc"), []byte("def"), encodeMap([]Piece{{0, 3}, {1, 2}})[0]); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]ID{
		"bytes in no blocks":   {ByteLength: 1},
		"more bytes than held": {BlockLength: 2, ByteLength: 7},
		"fewer bytes":          {BlockLength: 2, ByteLength: 5},
		"huge":                 {BlockOffset: 1 << 60, BlockLength: 1, ByteLength: 1},
		"overflow":             {BlockOffset: 1<<53 - 1, BlockLength: 1<<53 - 1, ByteLength: 1},
		"map too long":         {BlockLength: 65, ByteLength: 1, BlockMap: true},
		"map of other size":    {BlockOffset: 2, BlockLength: 1, ByteLength: 9, BlockMap: true},
		"no map":               {BlockOffset: 0, BlockLength: 1, ByteLength: 3, BlockMap: true},
		"wrong piece length":   {BlockOffset: 2, BlockLength: 1, ByteLength: 6, BlockMap: true},
	} {
		if got, err := b.Get(ctx, id); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte{0, 4, 0, 100, 1, 50, 0, 100, 3, 30})
	f.Add([]byte{0, 0})
	f.Add([]byte{1, 1, 1, 1})
	f.Add([]byte{0, 0xfe, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(appendMap(nil, []Piece{{1 << 40, 1 << 30}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		pieces, err := decodeMap(nil, raw, 1<<53)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := decodeMap(nil, appendMap(nil, pieces), 1<<53)
		if err != nil || len(again) != len(pieces) {
			t.Fatalf("round trip: %v", err)
		}
		for i := range pieces {
			if pieces[i] != again[i] {
				t.Fatalf("piece %d: %+v, want %+v", i, again[i], pieces[i])
			}
		}
	})
}
