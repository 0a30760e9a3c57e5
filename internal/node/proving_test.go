package node

import (
	"maps"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/spacefs"
)

func TestSamplesAreOfAllLogsAndNoMoreThanAskedFor(t *testing.T) {
	small, large := blindpeer.Log{Key: hypercrypto.Key{1}, Length: 1}, blindpeer.Log{Key: hypercrypto.Key{2}, Length: 1 << 40}
	seen := make(map[blindpeer.Log]int)
	for range 100 {
		total := 0
		for l, blocks := range sample([]blindpeer.Log{small, large}, proveBlocks) {
			seen[l] += blocks
			total += blocks
		}
		if total != proveBlocks {
			t.Fatalf("%d blocks", total)
		}
	}
	if seen[small] == 0 || seen[large] <= seen[small] || len(seen) != 2 {
		t.Errorf("%v", seen)
	}
	if got := sample([]blindpeer.Log{{Key: hypercrypto.Key{3}}}, 5); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := sample(nil, 5); len(got) != 0 {
		t.Errorf("of no logs: %v", got)
	}
}

func TestSightingsAreReadAsTheyWereWritten(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000)
	known := map[hypercrypto.PublicKey]sighting{
		{1}: {Proven: now, Seen: now, Looked: now, Level: levelAll, Ops: 1 << 40},
		{2}: {Failed: now, Level: levelPart, Logs: 7, Lack: spacefs.Lack{Contents: 4, Bytes: 1 << 50, Present: 2, PresentBytes: 3}},
		{3}: {},
	}
	got, err := decodeSightings(encodeSightings(known))
	if err != nil || !maps.Equal(got, known) {
		t.Fatal(got, err)
	}
	if got, err := decodeSightings(nil); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
	if _, err := decodeSightings([]byte{9, 0}); err == nil {
		t.Error("another version is read")
	}
}

func FuzzSightings(f *testing.F) {
	f.Add(encodeSightings(map[hypercrypto.PublicKey]sighting{{1}: {Proven: time.UnixMilli(5), Failed: time.UnixMilli(7), Level: levelPresent}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		known, err := decodeSightings(b)
		if err != nil {
			return
		}
		if len(known)*43 > len(b) {
			t.Fatalf("%d sightings in %d bytes", len(known), len(b))
		}
		if again, err := decodeSightings(encodeSightings(known)); err != nil || len(again) != len(known) {
			t.Fatalf("%+v becomes %+v, %v", known, again, err)
		}
	})
}
