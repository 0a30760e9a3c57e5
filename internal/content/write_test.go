package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/digest"
)

func TestContentComesBack(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	for _, n := range []int{0, 1, hyperblobs.BlockSize, SmallSize, SmallSize + 1, 5_000_001} {
		data := random(uint64(n), n)
		w := d.write(data, nil)
		if w.Ref.Size != uint64(n) || w.Ref.Hash != digest.Sum(data) || w.Stored != uint64(n) {
			t.Errorf("%d bytes: %d stored, size %d, hash %v", n, w.Stored, w.Ref.Size, w.Ref.Hash)
		}
		if n > 0 && len(w.Ref.Parts) != 1 {
			t.Errorf("%d bytes: %d parts", n, len(w.Ref.Parts))
		}
		d.want(w.Ref, data)
	}
}

func TestEditBySomebodyElseStoresOnlyWhatChanged(t *testing.T) {
	_, all := local(t, 3)
	data := random(1, 32<<20)
	v1 := all[0].write(data, nil)
	data[len(data)/2] ^= 1
	v2 := all[1].write(data, &v1.Ref)
	if v2.Stored > 200_000 || len(v2.Ref.Parts) != 3 {
		t.Errorf("edit of one byte stores %d bytes, %d parts", v2.Stored, len(v2.Ref.Parts))
	}
	if n := len(v2.Ref.Encode()); n > 160 {
		t.Errorf("reference of %d bytes", n)
	}
	all[2].want(v2.Ref, data)
	inserted := append(append(bytes.Clone(data[:1000]), "some more text"...), data[1000:]...)
	v3 := all[2].write(inserted, &v2.Ref)
	if v3.Stored > 600_000 {
		t.Errorf("insert at the start stores %d bytes", v3.Stored)
	}
	all[0].want(v3.Ref, inserted)
	again := all[0].write(data, &v2.Ref)
	if again.Stored != 0 || !bytes.Equal(again.Ref.Encode(), v2.Ref.Encode()) {
		t.Errorf("unchanged content stores %d bytes", again.Stored)
	}
}

func TestZerosAndRepeatsAreStoredOnce(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	data := make([]byte, 64<<20)
	copy(data[20<<20:], random(1, 1<<20))
	w := d.write(data, nil)
	if w.Stored > 2<<20 || len(w.Ref.Parts) > 3 {
		t.Errorf("1 MiB among zeros stores %d bytes in %d parts", w.Stored, len(w.Ref.Parts))
	}
	d.want(w.Ref, data)
	once := random(2, 8<<20)
	data = append(append(bytes.Clone(once), "in between"...), once...)
	if w = d.write(data, nil); w.Stored > uint64(len(once))*5/4 {
		t.Errorf("what is there twice stores %d bytes", w.Stored)
	}
	d.want(w.Ref, data)
}

func TestKnownContentIsStoredOnce(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	for _, n := range []int{1000, 3 << 20} {
		data := random(uint64(n), n)
		first := d.write(data, nil)
		asked := 0
		for _, knownSize := range []func(uint64) bool{nil, func(size uint64) bool { asked++; return size == uint64(n) }} {
			length := d.own.Core().Length()
			w, err := d.Write(t.Context(), bytes.NewReader(data), &WriteOptions{KnownSize: knownSize, Known: func(_ context.Context, size uint64, hash hypercrypto.Hash) (Ref, bool) {
				return first.Ref, size == first.Ref.Size && hash == first.Ref.Hash
			}})
			if err != nil || w.Stored != 0 || !bytes.Equal(w.Ref.Encode(), first.Ref.Encode()) {
				t.Errorf("%d bytes: stores %d, %v", n, w.Stored, err)
			}
			if grown := d.own.Core().Length() - length; grown > 0 && (n <= SmallSize || knownSize != nil) {
				t.Errorf("%d bytes: the log grows by %d", n, grown)
			}
			held := uint64(0)
			for a, b := range d.own.Core().Held(length, d.own.Core().Length()) {
				held += b - a
			}
			if held > 0 {
				t.Errorf("%d bytes: %d blocks are left", n, held)
			}
		}
		if asked == 0 && n > SmallSize {
			t.Error("the size is not asked for")
		}
		d.want(first.Ref, data)
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	broken := errors.New("disk on fire")
	r := io.MultiReader(bytes.NewReader(random(3, 10<<20)), iotest.ErrReader(broken))
	if _, err := d.Write(t.Context(), r, nil); !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
	for a, b := range d.own.Core().Held(0, d.own.Core().Length()) {
		t.Errorf("blocks %d to %d are left", a, b)
	}
	if _, err := New(nil, nil).Write(t.Context(), r, nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("without a log: %v", err)
	}
}

func TestBatchStoresManyWithOneAppend(t *testing.T) {
	_, all := local(t, 2)
	b, err := all[0].Batch()
	if err != nil {
		t.Fatal(err)
	}
	var data [][]byte
	for i := range 300 {
		data = append(data, random(uint64(i%250), i%250*100))
	}
	for i, c := range data {
		if ref := b.Add(c); ref.Hash != digest.Sum(c) {
			t.Errorf("content %d: hash %v", i, ref.Hash)
		}
	}
	if b.Len() != 300 {
		t.Errorf("%d contents wait", b.Len())
	}
	refs, err := b.Flush(t.Context())
	if err != nil || len(refs) != 300 {
		t.Fatalf("%d references, %v", len(refs), err)
	}
	for i, ref := range refs {
		all[1].want(ref, data[i])
	}
	if !bytes.Equal(refs[1].Encode(), refs[251].Encode()) {
		t.Error("equal contents are stored twice")
	}
	if b.Len() != 0 {
		t.Error("the batch is not empty")
	}
}

// Random edits by random devices: the content is always what was written, and what
// an edit stores depends on the edit and not on the content.
func TestEditsByManyDevices(t *testing.T) {
	_, all := local(t, 4)
	rapid.Check(t, func(rt *rapid.T) {
		data := random(rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(1, 6<<20).Draw(rt, "size"))
		type version struct {
			ref  Ref
			data []byte
		}
		var versions []version
		var prev *Ref
		for range rapid.IntRange(1, 12).Draw(rt, "edits") {
			d := all[rapid.IntRange(0, len(all)-1).Draw(rt, "device")]
			d.t = fatal{t, rt}
			w := d.write(data, prev)
			if prev != nil && prev.Size > SmallSize && len(data) > SmallSize && w.Stored > 1_500_000 {
				rt.Fatalf("edit stores %d bytes", w.Stored)
			}
			if n := len(w.Ref.Encode()); n > maxInline+1 {
				rt.Fatalf("reference of %d bytes", n)
			}
			versions = append(versions, version{w.Ref, data})
			prev = &versions[len(versions)-1].ref
			at := rapid.IntRange(0, len(data)).Draw(rt, "at")
			n := rapid.IntRange(0, 200_000).Draw(rt, "bytes")
			switch rapid.SampledFrom([]string{"insert", "remove", "replace", "zero"}).Draw(rt, "edit") {
			case "insert":
				data = append(append(bytes.Clone(data[:at]), random(uint64(at), n)...), data[at:]...)
			case "remove":
				data = append(bytes.Clone(data[:at]), data[min(len(data), at+n):]...)
			case "replace":
				data = bytes.Clone(data)
				copy(data[at:], random(uint64(at), n))
			case "zero":
				data = bytes.Clone(data)
				clear(data[at:min(len(data), at+n)])
			}
		}
		for _, v := range versions {
			d := all[rapid.IntRange(0, len(all)-1).Draw(rt, "reader")]
			d.t = fatal{t, rt}
			d.want(v.ref, v.data)
		}
	})
}

// fatal fails the attempt, not the test, so that it is made smaller.
type fatal struct {
	testing.TB
	rt *rapid.T
}

func (f fatal) Fatal(args ...any)                 { f.rt.Fatal(args...) }
func (f fatal) Fatalf(format string, args ...any) { f.rt.Fatalf(format, args...) }

// averageEdit is what edits of one byte store at most, on average: a chunk each, of 90 kB.
// One edit alone may store several: of a thousand, one moves the cuts behind it for more
// than 200 kB.
const averageEdit = 150_000

func TestManyPartsGoIntoATable(t *testing.T) {
	_, all := local(t, 2)
	data, rng := random(4, 12<<20), rand.New(rand.NewPCG(4, 0))
	w := all[0].write(data, nil)
	const edits = 60
	var stored uint64
	for i := range edits {
		data[rng.IntN(len(data))] ^= 0x55
		w = all[i%2].write(data, &w.Ref)
		stored += w.Stored
	}
	if stored > edits*averageEdit {
		t.Errorf("%d edits store %d bytes", edits, stored)
	}
	if w.Ref.Table == nil {
		t.Fatalf("%d parts in the reference", len(w.Ref.Parts))
	}
	all[0].want(w.Ref, data)
}

func TestPartsAreJoinedWhenTheyAreTooMany(t *testing.T) {
	_, all := local(t, 1)
	d := all[0]
	data := random(5, 4<<20)
	w := d.write(data, nil)
	// Two logs' worth of single blocks, in an order in which none joins.
	l := d.logs()
	defer l.close()
	s, err := newShared(t.Context(), d.Store, l, &w.Ref)
	if err != nil {
		t.Fatal(err)
	}
	st := &stream{ctx: t.Context(), s: d.Store, shared: s}
	var want []byte
	for i := 0; len(st.parts) < targetParts+700; i++ {
		if i%7 == 0 {
			st.parts = addPart(st.parts, zeros(3))
			want = append(want, 0, 0, 0)
			continue
		}
		c := s.base[i*5%len(s.base)]
		p := c.part(d.key)
		if i%100 != 0 { // mostly small ones: the blocks of a batch
			id, err := d.own.Put(t.Context(), fmt.Appendf(nil, "%08d", i))
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 { // leave a gap
				if _, err := d.own.Put(t.Context(), []byte("gap")); err != nil {
					t.Fatal(err)
				}
			}
			p = Part{Log: d.key, Blob: id}
		}
		b, err := d.own.Get(t.Context(), p.Blob)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, b...)
		st.parts = addPart(st.parts, p)
	}
	if err := st.limit(l); err != nil {
		t.Fatal(err)
	}
	if len(st.parts) > targetParts || st.stored > 700*32 {
		t.Errorf("%d parts, %d bytes stored", len(st.parts), st.stored)
	}
	ref, list, err := d.newRef(t.Context(), Ref{Size: uint64(len(want)), Hash: digest.Sum(want)}, st.parts)
	if err != nil || ref.Table == nil || list > 300_000 {
		t.Fatalf("list of %d bytes, %v", list, err)
	}
	d.want(ref, want)
}
