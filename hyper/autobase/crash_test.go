package autobase

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

var (
	crashSeed   = flag.Uint64("crash.seed", 0, "seed of the crashes, 0: another one each time")
	crashPoints = flag.Int("crash.points", 150, "how many crashes to look at")
)

// crashWorld are two peers on disks that are copied at times, as a crash would leave
// them.
type crashWorld struct {
	t     *testing.T
	key   hypercrypto.Key
	pairs [2]*hypercrypto.KeyPair

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	every  int // one of so many changes to a disk is a crash
	on     bool
	peers  [2]*crashPeer
	points []*crashPoint
}

// crashPoint is a crash of one peer, which loses some of what it did not sync. The other
// one is stopped with all it had.
type crashPoint struct {
	victim int
	at     string
	disks  [2]*vfs.MemFS
	acked  [2]int
}

type crashPeer struct {
	w     *crashWorld
	n     int
	mem   *vfs.MemFS
	acked int // values that were acknowledged; w.mu
	store *corestore.Store
	base  *Base
	app   *testApp
}

// hook is called before every change to a disk.
func (p *crashPeer) hook(op errorfs.Op) error {
	w := p.w
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on || w.rng.IntN(w.every) > 0 {
		return nil
	}
	c := &crashPoint{victim: p.n, at: fmt.Sprintf("%v %s", op.Kind, op.Path)}
	for i, q := range w.peers {
		c.acked[i] = q.acked
		lost := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(w.rng.Uint64(), 2))}
		if i == p.n {
			lost.UnsyncedDataPercent = []int{0, 50, 100}[w.rng.IntN(3)]
		}
		c.disks[i] = q.mem.CrashClone(lost)
	}
	w.points = append(w.points, c)
	return nil
}

// open opens the peer. It must not wait for the other one.
func (p *crashPeer) open(hooked bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var fs vfs.FS = quickFS{p.mem}
	if hooked {
		fs = errorfs.Wrap(fs, errorfs.InjectorFunc(p.hook))
	}
	var err error
	p.store, err = corestore.Open(ctx, "store", &corestore.Options{PrimaryKey: &[32]byte{byte(p.n + 1)}, Relaxed: false,
		Storage: &storage.Options{FS: fs, CacheSize: 1 << 20, MemTableSize: 256 << 10, PageCacheSize: 1 << 20}})
	if err != nil {
		return err
	}
	p.app = &testApp{}
	p.base, err = Open(ctx, p.store, &p.w.key, p.app.handlers(), &Options{
		Local: p.w.pairs[p.n], AckInterval: 20 * time.Millisecond, EncryptionKey: &hypercrypto.EncryptionKey{7},
	})
	if err != nil {
		p.store.Close()
	}
	return err
}

func (p *crashPeer) close() {
	p.base.Close()
	p.store.Close()
}

// append writes values, which are acknowledged afterwards.
func (p *crashPeer) append(n int) {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var values [][]byte
	for i := range n {
		values = append(values, opLog("value %d of %d", p.acked+i, p.n), opPut(fmt.Sprintf("k%d", (p.acked+i)%97), fmt.Sprint(p.acked+i)))
	}
	_, err := p.base.Append(ctx, values...)
	if errors.Is(err, ErrMissing) {
		return // it jumped just before it was cut off
	}
	if err != nil {
		p.w.t.Fatalf("append: %v, %+v", err, p.base.Status())
	}
	p.w.mu.Lock()
	p.acked += n
	p.w.mu.Unlock()
}

// values returns which values of each peer the view has.
func (p *crashPeer) values() (have [2]map[int]bool, err error) {
	have = [2]map[int]bool{{}, {}}
	p.base.mu.Lock() // else it may be what is left while the tip is put in order
	snap, err := p.app.log.Snapshot()
	p.base.mu.Unlock()
	if err != nil {
		return have, err
	}
	defer snap.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range snap.Length() {
		b, err := snap.Get(ctx, i)
		if err != nil {
			return have, err
		}
		var n, by int
		if _, err := fmt.Sscanf(string(b), "value %d of %d", &n, &by); err != nil {
			return have, err
		}
		have[by][n] = true
	}
	return have, nil
}

// verify opens both disks, first without each other, and lets them come together.
func (c *crashPoint) verify(w *crashWorld) error {
	now := &crashWorld{t: w.t, key: w.key, pairs: w.pairs}
	for i := range now.peers {
		p := &crashPeer{w: now, n: i, mem: c.disks[i], acked: c.acked[i]}
		if err := p.open(false); err != nil {
			return fmt.Errorf("peer %d does not open alone: %w", i, err)
		}
		defer p.close()
		now.peers[i] = p
		if n := p.base.e.local.core.Length(); n < 2*uint64(p.acked) {
			return fmt.Errorf("peer %d has %d own nodes, of %d values that were acknowledged", i, n, p.acked)
		}
	}
	a, b := now.peers[0], now.peers[1]
	defer connect(w.t, a.base, b.base)()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	state := func(p *crashPeer) string {
		s := p.base.Status()
		p.base.mu.Lock()
		defer p.base.mu.Unlock()
		text := fmt.Sprint(s.Hash, s.Needs, p.base.failed)
		for _, f := range p.base.e.fills {
			i := f.core.Info()
			text += fmt.Sprintf("\nof log %s, %d of %d blocks are held, of %d peers", f.core.Key(), i.Held, i.Length, len(f.core.Peers()))
			for _, x := range f.core.Peers() {
				text += fmt.Sprintf(" %+v", x.Stats())
			}
		}
		return text
	}
	for {
		x, y := a.base.Status(), b.base.Status()
		if x.Hash == y.Hash && !x.Filling && !y.Filling && (x.Tip > 0 || c.acked[0] == 0) {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("they do not come together:\n%+v\n%+v\n%s\n%s", x, y, state(a), state(b))
		case <-time.After(5 * time.Millisecond):
		}
	}
	for _, p := range now.peers {
		have, err := p.values()
		if err != nil {
			return fmt.Errorf("read the view of peer %d: %w", p.n, err)
		}
		for by, n := range c.acked {
			for i := range n {
				if !have[by][i] {
					return fmt.Errorf("peer %d lacks value %d of %d", p.n, i, by)
				}
			}
		}
	}
	return nil
}

// Two peers write and read, one of them jumps, and the machine of either stops before
// any change to its disk, with some of what was not synced gone. Each opens then without
// the other, has what was acknowledged, and they come together.
func TestABaseOpensAfterACrashAtAnyMoment(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-crash.seed %d", seed)
	w := &crashWorld{t: t, rng: rand.New(rand.NewPCG(seed, 1)), every: 2, on: true}
	for i := range w.pairs {
		w.pairs[i] = hypercrypto.KeyPairFromSeed([32]byte{byte(i + 1)})
		w.peers[i] = &crashPeer{w: w, n: i, mem: vfs.NewCrashableMem()}
	}
	w.key = hypercrypto.DefaultManifest(w.pairs[0].Public).Key()
	a, b := w.peers[0], w.peers[1]
	if err := a.open(true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for range 30 {
		a.append(5)
	}
	other := hypercrypto.DefaultManifest(w.pairs[1].Public).Key()
	if _, err := a.base.Append(ctx, opAdd(other, seed%2 == 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.open(true); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		cut := connect(t, a.base, b.base)
		if err := b.base.WaitWritable(ctx); err != nil {
			t.Fatalf("%v: %+v", err, b.base.Status())
		}
		for range 4 {
			a.append(1 + round)
			b.append(1)
		}
		cut()
		a.append(1)
		b.append(1)
		if round == 2 {
			b.close()
			for range 10 {
				a.append(3)
			}
			if err := b.open(true); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.mu.Lock()
	w.on = false
	w.mu.Unlock()
	a.close()
	b.close()
	points := w.points
	w.rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	points = points[:min(len(points), *crashPoints)]
	for n, c := range points {
		if c.acked[0] < 150 && n%5 > 0 {
			continue // most of what is interesting comes later
		}
		if err := c.verify(w); err != nil {
			t.Errorf("crash %d of peer %d, before %s: %v", n, c.victim, c.at, err)
		}
	}
	t.Logf("%d of %d crashes", len(points), len(w.points))
}
