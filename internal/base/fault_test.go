package base

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/hyper/storage/baddisk"
	"github.com/tradle/cloudpal/internal/fault"
)

var everyFault = flag.Bool("fault.every", false, "let every operation fail, not only some of the later ones")

// onDisk is a device on a disk of which as little as can be is in memory.
func onDisk(t *testing.T, fs vfs.FS) *device {
	return &device{t: t, disk: &storage.Options{FS: fs, MemTableSize: 256 << 10, CacheSize: 1, PageCacheSize: 1}}
}

// A disk fails at any operation while a base is written, or opened. Who asks is told that it
// is the disk, and what was told before is there when the disk is a good one again.
func TestABaseOnAFailingDisk(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d := onDisk(t, baddisk.New(mem))
	d.open()
	b, err := d.Create(t.Context(), "list", true)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]string)
	for i := range 30 {
		k, v := fmt.Sprintf("k%02d", i), fmt.Sprint("early ", i)
		if err := b.Change(t.Context(), []Pair{{k, v}}, nil); err != nil {
			t.Fatal(err)
		}
		want[k] = []string{v}
	}
	if err := errors.Join(b.Close(), d.tryClose()); err != nil {
		t.Fatal(err)
	}
	for _, opening := range []bool{false, true} {
		baddisk.Run(t, fmt.Sprint("opening ", opening), *everyFault, func(t *testing.T, way baddisk.Fault) (seen, failed int64) {
			return failBase(t, mem, want, opening, way)
		})
	}
}

func failBase(t *testing.T, image *vfs.MemFS, before map[string][]string, opening bool, way baddisk.Fault) (seen, failed int64) {
	rng := rand.New(rand.NewPCG(uint64(way.At), 1))
	mem := image.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
	disk := baddisk.New(mem)
	d, want := onDisk(t, disk), maps.Clone(before)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if opening {
		disk.Fail(way)
	}
	err := d.tryOpen()
	if err == nil {
		err = writeList(ctx, d, disk, way, opening, want)
	}
	_ = d.tryClose() // what it could not write is lost
	seen, failed = disk.Mend()
	if err != nil {
		if r := fault.ReportOf(err); r.Kind != fault.Disk.String() || r.Exit != 11 || len(r.Hints) == 0 {
			t.Errorf("it says %+v", r)
		}
		if failed == 0 {
			t.Errorf("nothing failed, and %v", err)
		}
	}
	d = onDisk(t, baddisk.New(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[way.At%3], RNG: rng})))
	d.open()
	defer d.close()
	b := d.get("list")
	defer b.Close()
	got := make(map[string]string)
	for _, p := range entries(t, b, "") {
		got[p.Key] = p.Value
	}
	for k, may := range want {
		if !slices.Contains(may, got[k]) {
			t.Errorf("%s is %q, may be %q", k, got[k], may)
		}
	}
	if err := b.Change(ctx, []Pair{{"afterwards", "x"}}, nil); err != nil {
		t.Error(err)
	}
	return seen, failed
}

func writeList(ctx context.Context, d *device, disk *baddisk.Disk, way baddisk.Fault, opened bool, want map[string][]string) error {
	b, err := d.Get(ctx, "list")
	if err != nil {
		return err
	}
	defer b.Close()
	if !opened {
		disk.Fail(way)
	}
	for i := range 6 {
		k, v, gone := fmt.Sprintf("k%02d", i), fmt.Sprint("newer ", i), fmt.Sprintf("k%02d", 20+i)
		was, old := want[k], want[gone]
		want[k], want[gone] = append(slices.Clone(was), v), append(slices.Clone(old), "")
		if err := b.Change(ctx, []Pair{{k, v}}, []string{gone}); err != nil {
			return err
		}
		want[k], want[gone] = []string{v}, []string{""}
	}
	for _, err := range b.Entries(ctx, "") {
		if err != nil {
			return err
		}
	}
	return nil
}
