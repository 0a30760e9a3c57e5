package hyperdrive

import (
	"bytes"
	"testing"
	"time"
)

func TestSightingsAreThinnedFromTheOldEnd(t *testing.T) {
	d := newTestDrive(t, nil)
	now := time.UnixMilli(1e12)
	s := &seenLog{core: d.Core(), now: func() time.Time { return now }, wake: make(chan struct{}, 1)}
	for v := uint64(1); v <= 3*maxSeen; v++ {
		now = now.Add(time.Second)
		s.note(v)
	}
	if n := len(s.list); n > maxSeen || n < maxSeen/2 {
		t.Errorf("%d sightings are kept, at most %d are wanted", n, maxSeen)
	}
	last := s.list[len(s.list)-1]
	if last.version != 3*maxSeen || !last.at.Equal(now) {
		t.Errorf("the last sighting is %+v", last)
	}
	gap := func(i int) uint64 { return s.list[i+1].version - s.list[i].version }
	if old, young := gap(0), gap(len(s.list)-2); old <= young || young != 1 {
		t.Errorf("old sightings are %d apart, young ones %d", old, young)
	}
	// At any time the version is the last one that was seen until then.
	for _, e := range s.list {
		if v := s.at(e.at.Add(time.Millisecond)); v != e.version {
			t.Fatalf("at %v: version %d, want %d", e.at, v, e.version)
		}
	}
	if v := s.at(time.UnixMilli(1e12)); v != 0 {
		t.Errorf("before the first sighting: version %d", v)
	}

	// What is stored comes back; a cut takes what lies behind it along.
	list := decodeSeen(encodeSeen(s.list))
	if !bytes.Equal(encodeSeen(list), encodeSeen(s.list)) {
		t.Error("the list does not survive")
	}
	s.note(7)
	if n := len(s.list); n == 0 || s.list[n-1].version != 7 || !s.list[n-1].at.Equal(now) {
		t.Errorf("after a cut: %+v", s.list)
	}
}

func FuzzSeen(f *testing.F) {
	at := time.UnixMilli(1e12)
	f.Add(encodeSeen(nil))
	f.Add(encodeSeen([]sighting{{3, at}, {9, at.Add(time.Hour)}}))
	f.Add(encodeSeen([]sighting{{9, at}, {3, at.Add(time.Hour)}}))
	f.Add([]byte{1})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list := decodeSeen(raw)
		for i, e := range list[min(1, len(list)):] {
			if e.version <= list[i].version || !e.at.After(list[i].at) {
				t.Fatalf("%+v comes after %+v", e, list[i])
			}
		}
		if again := decodeSeen(encodeSeen(list)); len(again) != len(list) || len(list) > maxSeen {
			t.Fatalf("%d sightings became %d", len(list), len(again))
		}
	})
}
