package node

import (
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
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

func TestProofsAreReadAsTheyWereWritten(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000)
	list := []proofs{{hypercrypto.PublicKey{1}, now, time.Time{}}, {hypercrypto.PublicKey{2}, time.Time{}, now}, {hypercrypto.PublicKey{3}, time.Time{}, time.Time{}}}
	got, err := decodeProofs(encodeProofs(list))
	if err != nil || len(got) != len(list) {
		t.Fatal(got, err)
	}
	for i, p := range got {
		if p.mirror != list[i].mirror || !p.Proven.Equal(list[i].Proven) || !p.Failed.Equal(list[i].Failed) {
			t.Errorf("%+v", p)
		}
	}
	if got, err := decodeProofs(nil); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
}

func FuzzProofs(f *testing.F) {
	f.Add(encodeProofs([]proofs{{hypercrypto.PublicKey{1}, time.UnixMilli(5), time.UnixMilli(7)}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeProofs(b)
		if err == nil && len(list)*34 > len(b) {
			t.Fatalf("%d proofs in %d bytes", len(list), len(b))
		}
	})
}
