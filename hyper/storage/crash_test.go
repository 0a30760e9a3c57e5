package storage

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/storage/baddisk"
)

// crashPoint is a copy of the disk and what must be on it.
type crashPoint struct {
	fs      vfs.FS
	at      string
	from    int  // at least this commit is there
	to      int  // at most this one
	process bool // the process died, the machine did not: nothing is lost
}

var crashSeeds = flag.Uint64("crash.seeds", 2, "how often to crash at every step, each time with other parts lost")

// TestCrashAtEveryStep stops the machine before every change to the disk, with
// some of what was not synced gone, and opens what is left. All durable commits
// and a prefix of the others must be there, each of them whole.
func TestCrashAtEveryStep(t *testing.T) {
	for seed := range *crashSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashRun(t, seed) })
	}
}

func crashRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	mem := vfs.NewCrashableMem()
	var mu sync.Mutex
	var points []crashPoint
	durable, acked, started := 0, 0, 0
	on := false
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if !on {
			return nil
		}
		p := crashPoint{at: fmt.Sprintf("%v %s", op.Kind, op.Path), from: durable, to: started}
		percent := []int{0, 50, 100}[rng.IntN(3)]
		if percent == 100 {
			p.from, p.process = acked, true
		}
		p.fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(rng.Uint64(), 2))})
		points = append(points, p)
		return nil
	})
	o := &Options{FS: errorfs.Wrap(baddisk.Reusing(mem), hook), SegmentSize: 60 << 10, MemTableSize: 256 << 10}
	db, err := Open("s", o)
	if err != nil {
		t.Fatal(err)
	}
	c := createTest(t, db, 1)
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	on = true
	mu.Unlock()
	m := newModel()
	states := []*model{m.clone()}
	b := db.NewBatch()
	gen := rapid.Custom(func(t *rapid.T) int {
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			m.step(t, b, c)
		}
		return 0
	})
	pick := rand.New(rand.NewPCG(seed, 3)) // the hook has rng for itself
	const commits = 50
	for i := 1; i <= commits; i++ {
		gen.Example(int(seed)*1000 + i)
		if b.Empty() {
			b.SetHead(c, m.head)
		}
		states = append(states, m.clone())
		mode := Mode(pick.IntN(2))
		mu.Lock()
		started = i
		mu.Unlock()
		if err := b.Commit(mode); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		acked = i
		if mode == Durable {
			durable = i
		}
		mu.Unlock()
		if pick.IntN(10) == 0 {
			if err := db.Flush(); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			durable = i
			mu.Unlock()
		}
		if pick.IntN(12) == 0 {
			if err := db.pebble.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	on = false
	mu.Unlock()
	for n, p := range points {
		if err := p.verify(states); err != nil {
			t.Fatalf("crash %d of %d, before %s (commits %d to %d, process %v): %v", n, len(points), p.at, p.from, p.to, p.process, err)
		}
	}
	t.Logf("%d crashes", len(points))
}

// verify opens the disk and compares what is there with what must be.
func (p *crashPoint) verify(states []*model) error {
	db, err := Open("s", &Options{FS: p.fs, SegmentSize: 60 << 10})
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := db.Core(dkOf(1))
	if err != nil {
		return err
	}
	if lost := db.Lost(); len(lost) > 0 {
		return fmt.Errorf("blocks %v lost though the disk kept its word", lost[0].Blocks)
	}
	if err := checkAll(db); err != nil {
		return err
	}
	var why error
	for j := p.to; j >= p.from; j-- {
		err := states[j].diffCore(c)
		if err == nil {
			return nil
		}
		why = errors.Join(why, fmt.Errorf("not state %d: %w", j, err))
	}
	return why
}
