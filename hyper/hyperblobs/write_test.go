package hyperblobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/tradle/cloudpal/hyper/internal/rabin"
)

func write(t testing.TB, b *Blobs, data []byte, base *ID) Written {
	t.Helper()
	w, err := b.Write(t.Context(), bytes.NewReader(data), &WriteOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Get(t.Context(), w.ID)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read back %d of %d bytes: %v", len(got), len(data), err)
	}
	if w.Size != uint64(len(data)) {
		t.Errorf("size %d, want %d", w.Size, len(data))
	}
	return w
}

func TestSmallContentIsPlain(t *testing.T) {
	b := New(newCore(t))
	for _, n := range []int{0, 1, BlockSize, BlockSize + 1, SmallSize} {
		if w := write(t, b, prngBytes(uint32(n+1), n), nil); w.ID.BlockMap {
			t.Errorf("%d bytes are mapped", n)
		}
	}
	if w := write(t, b, prngBytes(7, SmallSize+1), nil); !w.ID.BlockMap {
		t.Error("large content is not mapped")
	}
}

func TestEditOfOneByteStoresOneChunk(t *testing.T) {
	b := New(newCore(t))
	data := prngBytes(99, 64<<20)
	v1 := write(t, b, data, nil)
	if v1.Appended < v1.Size || v1.Appended > v1.Size+v1.Size/1000 {
		t.Errorf("first version of %d bytes appends %d", v1.Size, v1.Appended)
	}
	data[len(data)/2] ^= 0xff
	v2 := write(t, b, data, &v1.ID)
	if v2.Appended > 200_000 {
		t.Errorf("edit of one byte appends %d bytes", v2.Appended)
	}
	inserted := append(append(bytes.Clone(data[:1000]), "some more text"...), data[1000:]...)
	if v3 := write(t, b, inserted, &v2.ID); v3.Appended > 600_000 {
		t.Errorf("insert at the start appends %d bytes", v3.Appended)
	}
	before := b.Core().Length()
	if again := write(t, b, data, &v2.ID); again.ID != v2.ID || b.Core().Length() != before {
		t.Errorf("unchanged content appends %d blocks", b.Core().Length()-before)
	}
}

func TestRepeatedChunksAreStoredOnce(t *testing.T) {
	b := New(newCore(t))
	if w := write(t, b, make([]byte, 16<<20), nil); w.Appended > 2*gearMax+2000 {
		t.Errorf("16 MiB of zeros append %d bytes", w.Appended)
	}
}

func TestVersionCutByMirrorDriveSharesItsBlocks(t *testing.T) {
	b := New(newCore(t))
	data := prngBytes(31337, 24<<20)
	mw := b.newMapWriter(t.Context(), newDedup(b.core, nil))
	for rest := data; len(rest) > 0; {
		n := rabin.Cut(rest)
		if err := mw.add(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	base, err := mw.finish()
	if err != nil {
		t.Fatal(err)
	}
	data[3000000] ^= 1
	// The edit lies in the third chunk, of 2,051,680 bytes.
	if w := write(t, b, data, &base); w.Appended > 2_060_000 {
		t.Errorf("edit appends %d bytes", w.Appended)
	}
}

func TestWriterTakesAnyPieces(t *testing.T) {
	data := prngBytes(5, 5<<20)
	b := New(newCore(t))
	whole := write(t, b, data, nil)
	w := b.NewWriter(t.Context(), &WriteOptions{Base: &whole.ID})
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 77777)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Written().ID != whole.ID {
		t.Error("cuts depend on how the content is written")
	}
	if _, err := w.Write(data); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write after close: %v", err)
	}
}

func TestFailedWriteFreesItsBlocks(t *testing.T) {
	b := New(newCore(t))
	bad := errors.New("disk on fire")
	r := io.MultiReader(bytes.NewReader(prngBytes(5, 9<<20)), iotest.ErrReader(bad))
	if _, err := b.Write(t.Context(), r, nil); !errors.Is(err, bad) {
		t.Fatalf("error %v", err)
	}
	for i := range b.Core().Length() {
		if b.Core().Has(i, i+1) {
			t.Fatalf("block %d is still stored", i)
		}
	}
}

func TestCancelledWriteStops(t *testing.T) {
	b := New(newCore(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Write(ctx, bytes.NewReader(prngBytes(5, 9<<20)), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestConcurrentWritersDoNotMix(t *testing.T) {
	b := New(newCore(t))
	done := make(chan error)
	const n = 4
	for i := range n {
		go func() {
			data := prngBytes(uint32(i+1), 3<<20+i*1000)
			w, err := b.Write(t.Context(), bytes.NewReader(data), nil)
			if err == nil {
				var got []byte
				if got, err = b.Get(t.Context(), w.ID); err == nil && !bytes.Equal(got, data) {
					err = errors.New("content differs")
				}
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
