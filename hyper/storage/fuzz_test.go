package storage

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func mergeAll(t interface{ Fatal(...any) }, key []byte, ops [][]byte, base bool) ([]byte, error) {
	m, err := newMerger().Merge(key, ops[len(ops)-1])
	for i := len(ops) - 2; i >= 0 && err == nil; i-- {
		err = m.MergeOlder(ops[i])
	}
	if err != nil {
		return nil, err
	}
	v, c, err := m.Finish(base)
	if err != nil {
		return nil, err
	}
	return closed(v, c), nil
}

func closed(v []byte, c io.Closer) []byte {
	v = bytes.Clone(v)
	if c != nil {
		c.Close()
	}
	return v
}

func pageKeys() [][]byte {
	return [][]byte{appendTreeKey(nil, 1, 0, 2), appendPageKey(nil, 1, partBlock, 2), appendPageKey(nil, 1, partBits, 2)}
}

// FuzzMerge feeds the merge operator bytes that are no pages: it reports
// ErrCorrupt, or gives a page that decodes.
func FuzzMerge(f *testing.F) {
	node := append([]byte{pageRun, 3, 1, 9}, make([]byte, 32)...)
	f.Add(node, node, byte(0))
	f.Add([]byte{pageRun, 0, 2, 4, 'a', 'b', 0}, appendPageHeader(nil, 0, 3), byte(1))
	f.Add(pointer{seg: 3, off: 400, length: 70000, crc: 5}.append([]byte{pageRun, 1, 1}), []byte{pageRun, 1, 1, 0}, byte(1))
	f.Add(appendBitRun([]byte{bitsRuns}, 5, 900, true), append([]byte{bitsRaw}, make([]byte, bitPageBytes)...), byte(2))
	f.Add(append([]byte{bitsMasked}, make([]byte, 2*bitPageBytes)...), []byte{bitsRuns}, byte(2))
	f.Fuzz(func(t *testing.T, a, b []byte, which byte) {
		key := pageKeys()[which%3]
		for _, base := range []bool{false, true} {
			v, err := mergeAll(t, key, [][]byte{a, b}, base)
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				continue
			}
			if which%3 == 2 {
				var p bitPage
				err = p.parse(v)
			} else {
				var p page
				err = p.parse(key[corePrefixLen], v)
			}
			if err != nil {
				t.Fatalf("merge of %x and %x: %v", a, b, err)
			}
		}
	})
}

// FuzzRecords decodes the small records.
func FuzzRecords(f *testing.F) {
	f.Add((&headRecord{Head: Head{Fork: 1, Length: 2, Signature: []byte("s")}}).append(nil))
	f.Add((&Auth{Manifest: []byte("m")}).append(nil))
	f.Add((&Core{name: "b", parent: 2}).appendInfo(nil))
	f.Add(branchRecord{3, 4}.append(nil))
	f.Add(mark{1, 2}.append(nil))
	f.Add(appendLost(nil, []uint64{1, 2, 9}))
	f.Add([]byte{1, 2, 3, 1, 3, 4})
	f.Add((&recordHeader{core: 1, index: 2, length: 1 << 16}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h headRecord
		if h.decode(b) == nil {
			var again headRecord
			if err := again.decode(h.append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		var a Auth
		if a.decode(b) == nil {
			var again Auth
			if err := again.decode(a.append(nil)); err != nil || again.Key != a.Key {
				t.Fatal(err)
			}
		}
		for _, err := range []error{(&Core{}).decodeInfo(b), new(branchRecord).decode(b)} {
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		}
		var r recordHeader
		if r.decode(b) && !bytes.Equal(r.append(nil), b[:recordHeaderLen]) {
			t.Fatal("record header does not round-trip")
		}
		if m, ok := decodeMark(b); ok && !bytes.Equal(m.append(nil), b) {
			t.Fatal("mark does not round-trip")
		}
		if blocks, err := decodeLost(b); err == nil {
			again, err := decodeLost(appendLost(nil, blocks))
			if err != nil || !slices.Equal(again, blocks) {
				t.Fatal("lost blocks do not round-trip")
			}
		}
		key := appendSegmentOffsetKey(nil, tabTail, 1, segmentHeaderLen)
		err := eachTail(key, b, func(tailBlock) error { return nil })
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// TestMergeIsAssociative merges series of deltas in different groupings.
func TestMergeIsAssociative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		which := rapid.IntRange(0, 2).Draw(t, "part")
		key := pageKeys()[which]
		var ops [][]byte
		for range rapid.IntRange(2, 6).Draw(t, "ops") {
			ops = append(ops, drawDelta(t, which))
		}
		whole, err := mergeAll(t, key, ops, false)
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(1, len(ops)-1).Draw(t, "cut")
		older, err := mergeAll(t, key, ops[:cut], false)
		if err != nil {
			t.Fatal(err)
		}
		newer, err := mergeAll(t, key, ops[cut:], false)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := mergeAll(t, key, [][]byte{older, newer}, false)
		if err != nil || !bytes.Equal(parts, whole) {
			t.Fatalf("%x instead of %x, %v", parts, whole, err)
		}
		// From old to new.
		m, err := newMerger().Merge(key, ops[0])
		for _, op := range ops[1:] {
			if err == nil {
				err = m.MergeNewer(op)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		v, c, err := m.Finish(false)
		if err != nil || !bytes.Equal(closed(v, c), whole) {
			t.Fatalf("MergeNewer gives %x instead of %x, %v", v, whole, err)
		}
		based, err := mergeAll(t, key, ops, true)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := mergeAll(t, key, [][]byte{whole}, true); err != nil || !bytes.Equal(again, based) {
			t.Fatalf("%x instead of %x, %v", again, based, err)
		}
	})
}

func drawDelta(t *rapid.T, which int) []byte {
	if which == 2 {
		b := []byte{bitsRuns}
		for range rapid.IntRange(1, 4).Draw(t, "runs") {
			from := rapid.UintRange(0, bitPageBits-1).Draw(t, "from")
			to := rapid.UintRange(from+1, bitPageBits).Draw(t, "to")
			b = appendBitRun(b, from, to, rapid.Bool().Draw(t, "v"))
		}
		if rapid.IntRange(0, 4).Draw(t, "many") == 0 {
			for k := uint(0); k < 2*bitsMaxRuns; k += 2 {
				b = appendBitRun(b, k, k+1, k%3 == 0)
			}
		}
		return b
	}
	set := rapid.Uint64().Draw(t, "set") & (1<<63 - 1)
	if which == 1 {
		set &= 1<<blockSlots - 1
	}
	clr := rapid.Uint64().Draw(t, "clr") &^ set
	b := appendPageHeader(nil, set, clr)
	for s := uint(0); s < 64; s++ {
		switch {
		case !has(set, s):
		case which == 0:
			b = append(b, byte(s), 1)
			b[len(b)-2] &= 0x7f
			b = append(b[:len(b)-1], make([]byte, 32)...)
			b[len(b)-1] = rapid.Byte().Draw(t, "hash")
		case rapid.Bool().Draw(t, "large"):
			b = pointer{seg: 1, off: int64(s) * 1000, length: 70000, crc: uint32(s)}.append(b)
		default:
			b = appendInline(b, []byte{byte(s), rapid.Byte().Draw(t, "data")})
		}
	}
	return b
}
