package hyperdrive

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestNumbersInsideOfAChangeAreNoVersions makes changes of all shapes and asks of
// every number which version it belongs to.
func TestNumbersInsideOfAChangeAreNoVersions(t *testing.T) {
	d := newTestDrive(t, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	ends := []uint64{1}
	for range 60 {
		b := d.Batch()
		for range 1 + rng.IntN(40) {
			path := fmt.Sprintf("/%d", rng.IntN(200))
			var err error
			switch rng.IntN(5) {
			case 0, 1:
				err = b.Del(path)
			case 2:
				// There is no room for a time.
				err = b.PutEntry(&Entry{Path: path, Metadata: json.RawMessage(`[1]`)})
			default:
				err = b.Put(t.Context(), path, []byte(path), nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Close()
		if v := d.Version(); v != ends[len(ends)-1] {
			ends = append(ends, v)
		}
	}
	last := ends[len(ends)-1]
	for v := uint64(1); v <= last; v++ {
		i, _ := slices.BinarySearch(ends, v)
		if got, err := d.WholeVersion(t.Context(), v); err != nil || got != ends[i] {
			t.Fatalf("version %d: %d, %v; want %d", v, got, err, ends[i])
		}
	}
	if got, err := d.WholeVersion(t.Context(), last+7); err != nil || got != last+7 {
		t.Errorf("beyond the end: %d, %v", got, err)
	}
	var listed []uint64
	for c, err := range d.History(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if n := len(listed); n == 0 || listed[n-1] != c.Version {
			listed = append(listed, c.Version)
		}
	}
	slices.Reverse(listed)
	if !slices.Equal(listed, ends[1:]) {
		t.Errorf("the history has the versions %v, want %v", listed, ends[1:])
	}
}

func TestBatchesOfOthersAreToldApartWhereTheirBlocksAreEmpty(t *testing.T) {
	d := newTestDrive(t, &Options{NoTimes: true})
	for _, names := range [][]string{{"/a", "/b", "/c"}, {"/d"}} {
		b := d.Batch()
		for _, name := range names {
			if err := b.Put(t.Context(), name, []byte("x"), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	for v, want := range map[uint64]uint64{1: 1, 2: 4, 3: 4, 4: 4, 5: 5} {
		if got, err := d.WholeVersion(t.Context(), v); err != nil || got != want {
			t.Errorf("version %d: %d, %v; want %d", v, got, err, want)
		}
	}
	versions := map[string]uint64{}
	for c, err := range d.History(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		versions[c.Path] = c.Version
	}
	if versions["/a"] != 4 || versions["/b"] != 4 || versions["/c"] != 4 || versions["/d"] != 5 {
		t.Errorf("versions %v", versions)
	}
}
