package spacefs

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage/baddisk"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space"
)

var (
	crashSeed   = flag.Uint64("crash.seed", 0, "seed of the crashes, 0: another one each time")
	crashPoints = flag.Int("crash.points", 12, "how many crashes to look at")
)

// crashPoint is what the disks of two machines have when one of them crashes, and what
// was acknowledged on each until then.
type crashPoint struct {
	victim int
	at     string
	disks  [2]*vfs.MemFS
	texts  [2]map[hypercrypto.Hash]string
}

type crashes struct {
	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	on     bool
	disks  [2]*vfs.MemFS
	texts  [2]map[hypercrypto.Hash]string
	points []*crashPoint
}

func (c *crashes) hook(victim int) errorfs.Injector {
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.on || c.rng.IntN(3) > 0 {
			return nil
		}
		p := &crashPoint{victim: victim, at: fmt.Sprintf("%v %s", op.Kind, op.Path)}
		for i := range c.disks {
			lost := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(c.rng.Uint64(), 2))}
			if i == victim {
				lost.UnsyncedDataPercent = []int{0, 50, 100}[c.rng.IntN(3)]
			}
			p.disks[i] = c.disks[i].CrashClone(lost)
			p.texts[i] = maps.Clone(c.texts[i])
		}
		c.points = append(c.points, p)
		return nil
	})
}

// put writes a file, and notes that it was acknowledged.
func (c *crashes) put(i int, m *machine, path, text string) {
	m.put(map[string]string{path: text})
	c.mu.Lock()
	c.texts[i][hypercrypto.Sum([]byte(text))] = text
	c.mu.Unlock()
}

// Two machines change files of a space, one of them as a newcomer that jumps. Either stops
// at any change to its disk, with some of what was not synced gone. Each opens the space
// alone then, they come together, and every content that was acknowledged is there.
func TestASpaceOpensAfterACrashAtAnyMoment(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crash.seed %d", seed)
	c := &crashes{rng: rand.New(rand.NewPCG(seed, 1)), on: true, texts: [2]map[hypercrypto.Hash]string{{}, {}}}
	c.disks = [2]*vfs.MemFS{vfs.NewCrashableMem(), vfs.NewCrashableMem()}
	var ms [2]*machine
	for i, name := range []string{"ada", "bob"} {
		ms[i] = &machine{t: t, name: name, dir: t.TempDir(), badge: newBadge(), fs: errorfs.Wrap(baddisk.Reusing(c.disks[i]), c.hook(i))}
		ms[i].start()
		t.Cleanup(ms[i].stop)
	}
	a, b := ms[0], ms[1]
	a.create()
	for n := range 30 {
		c.put(0, a, fmt.Sprintf("d%d/f%d", n%3, n%11), fmt.Sprintf("early %d", n))
	}
	cut := connect(t, a, b)
	a.join(b, space.Editor)
	for n := range 12 {
		c.put(n%2, ms[n%2], fmt.Sprintf("d%d/f%d", n%3, n%5), randomText(byte(n), 200+40_000*(n%3)))
		if n == 6 {
			agree(t, ms[:]...)
			a.del("d0/f0")
		}
	}
	cut()
	c.put(0, a, "d1/f1", "apart, ada")
	connect(t, a, b)
	agree(t, ms[:]...)
	c.put(1, b, "d1/f1", "together, bob")
	c.mu.Lock()
	c.on = false
	points := c.points
	c.mu.Unlock()
	a.stop()
	b.stop()
	c.rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	for n, p := range points[:min(len(points), *crashPoints)] {
		t.Run(fmt.Sprint(n), func(t *testing.T) { p.verify(t, ms) })
	}
	t.Logf("%d of %d crashes", min(len(points), *crashPoints), len(points))
}

func (p *crashPoint) verify(t *testing.T, of [2]*machine) {
	defer func() {
		if t.Failed() {
			t.Logf("crash of machine %d, before %s", p.victim, p.at)
		}
	}()
	var ms []*machine
	for i, o := range of {
		m := &machine{t: t, name: o.name, dir: t.TempDir(), badge: o.badge, fs: baddisk.Reusing(p.disks[i]), opts: Options{Policy: Policy{Everything: true}}}
		m.start()
		t.Cleanup(m.stop)
		if _, failed := m.library.Records(); len(failed) > 0 {
			t.Fatalf("%s does not open: %v", m.name, failed)
		}
		s, err := m.library.Get("home")
		if fault.KindOf(err) == fault.NotFound && len(p.texts[i]) == 0 {
			continue // it was not created, or joined, by then
		}
		must(t, err)
		m.use(s)
		ms = append(ms, m)
	}
	switch len(ms) {
	case 0:
		return
	case 2:
		connect(t, ms[0], ms[1])
	}
	for _, m := range ms {
		must(t, m.space.WaitMember(patient(t)))
	}
	agree(t, ms...)
	for _, m := range ms {
		i := map[string]int{"ada": 0, "bob": 1}[m.name]
		v, release := m.View()
		for hash, text := range p.texts[i] {
			list, err := m.places(patient(t), v, hash, uint64(len(text)))
			must(t, err)
			if len(list) == 0 || !list[0].whole() {
				t.Errorf("%s has lost %.20q", m.name, text)
				continue
			}
			r, err := m.Files.store.OpenLocal(t.Context(), list[0].Ref)
			must(t, err)
			var got bytes.Buffer
			if _, err := r.WriteTo(&got); err != nil || got.String() != text {
				t.Errorf("%s has %.20q damaged: %v", m.name, text, err)
			}
			r.Close()
		}
		release()
	}
}
