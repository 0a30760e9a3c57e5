package space

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/hyper/storage"
)

// simulation are devices of one space whose links and disks fail, and what must hold
// whatever people do on them. It runs in a bubble with a clock of its own, and everything
// that decides the order of operations follows from the seed.
type simulation struct {
	t         *testing.T
	ctx       context.Context
	rng       *rand.Rand
	files     Collection
	drops     bool // whether operations drop old versions
	people    []*human
	devices   []*simDevice
	logs      []*hypercrypto.KeyPair // of all devices in the space, and of the liar
	key       hypercrypto.Key
	enc       *hypercrypto.EncryptionKey
	invites   []simInvite
	liar      *simLiar   // nil: nobody lies
	lost      *simDevice // for good; nil: none yet
	jumps     bool       // devices jump, and nobody is made a writer again
	recovered bool       // by an owner's phrase

	written int
	nodes   map[autobase.Ref]map[hypercrypto.Key]uint64 // what the author of each had seen, at least
	puts    []simPut                                    // that were acknowledged
	bodies  [][]byte                                    // operations of files
	states  map[string]string                           // by the newest nodes
	freed   map[string]simFreed                         // by content
	story   []string
}

// simDevice is a disk with a library on it.
type simDevice struct {
	*Library
	w       *simulation
	n       int
	who     int // person
	badge   *badge
	slow    bool // seldom hears of anything
	mem     *vfs.MemFS
	store   *corestore.Store
	space   *Space
	held    simHeld
	joined  int                     // how often
	log     int                     // which of the logs it writes
	copies  map[int]*hypercore.Core // of the logs of the simulation
	seen    map[hypercrypto.Key]uint64
	written uint64            // nodes of its own
	at      autobase.Position // when that was noted
}

func (w *simulation) note(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *simulation) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.story, "\n"))
}

func (w *simulation) must(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.fail("%s: %v", what, err)
	}
}

// one tells whether something happens that does so one time in n.
func (w *simulation) one(n int) bool { return w.rng.IntN(n) == 0 }

func (w *simulation) seed() (s [32]byte) {
	for i := range s {
		s[i] = byte(w.rng.Uint32())
	}
	return s
}

func (w *simulation) human(name string) *human {
	s := w.seed()
	phrase, err := identitykey.MnemonicOf(s[:])
	w.must("phrase", err)
	return &human{name: name, keys: phrase.Keys(), at: time.Now()}
}

// badge makes a device of a person.
func (w *simulation) badge(h *human) *badge {
	key := hypercrypto.KeyPairFromSeed(w.seed())
	return &badge{identitykey.Bootstrap(h.keys.Identity, key.Public, h.at), key}
}

// newSimulation makes the people and their devices, of which the first has a space.
func newSimulation(t *testing.T, seed uint64, files Collection) *simulation {
	w := &simulation{
		t: t, ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, 7)), files: files, nodes: make(map[autobase.Ref]map[hypercrypto.Key]uint64),
		states: make(map[string]string), freed: make(map[string]simFreed), enc: &hypercrypto.EncryptionKey{9},
	}
	w.drops, w.jumps = w.one(3), w.one(3)
	for _, name := range []string{"Ada", "Bob", "Cyd"} {
		w.people = append(w.people, w.human(name))
	}
	for n, who := range [][]int{{0, 1}, {0, 1, 0}, {0, 1, 2}, {0, 1, 2}, {0, 1, 2, 0}}[w.rng.IntN(5)] {
		d := &simDevice{w: w, n: n, who: who, badge: w.badge(w.people[who]), mem: vfs.NewCrashableMem(), held: make(simHeld), slow: w.one(5)}
		w.devices = append(w.devices, d)
		d.open()
	}
	first := w.devices[0]
	ns := first.namespace()
	c, err := first.claim(w.ctx, ns, nil)
	w.must("claim", err)
	w.key = c.log
	first.enter(Record{Name: "plans", Key: w.key, Encryption: w.enc, namespace: ns})
	w.must("found", first.space.found(w.ctx, "plans", c))
	return w
}

// namespace names the logs that a device is going to write.
func (d *simDevice) namespace() string {
	d.joined++
	return fmt.Sprintf("%d-%d", d.n, d.joined)
}

// enter opens the space on a device.
func (d *simDevice) enter(r Record) {
	w := d.w
	store := d.store.Namespace(storeName(r.namespace))
	d.log, w.logs = len(w.logs), append(w.logs, store.KeyPair(logName))
	w.must("close", store.Close())
	var err error
	d.space, err = d.add(w.ctx, r)
	w.must("add", err)
	d.written, d.seen = 0, nil
	w.settle()
}

func (d *simDevice) open() {
	w := d.w
	var err error
	d.store, err = corestore.Open(w.ctx, "store", &corestore.Options{
		PrimaryKey: &[32]byte{byte(d.n + 1)},
		Storage:    &storage.Options{FS: d.mem, CacheSize: 1 << 20, MemTableSize: 256 << 10, PageCacheSize: 1 << 20},
	})
	w.must("open store", err)
	d.copies = make(map[int]*hypercore.Core)
	d.Library, err = Open(w.ctx, d.store, Options{
		Identity: d.badge, PersonName: w.people[d.who].name, DeviceName: fmt.Sprint("device ", d.n), AckInterval: 100 * time.Millisecond,
		Collections: []Collection{w.files}, led: true,
	})
	w.must("open library", err)
	if d.space != nil {
		if list := d.Spaces(); len(list) == 1 {
			d.space = list[0]
		} else {
			w.fail("device %d lost the space", d.n)
		}
	}
}

func (d *simDevice) close() {
	d.w.must("close library", d.Library.Close())
	d.w.must("close store", d.store.Close())
}

// restart starts a device again, perhaps after its power went.
func (d *simDevice) restart(crash bool) {
	w := d.w
	w.settle()
	mem := d.mem
	if crash {
		mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[w.rng.IntN(3)], RNG: rand.New(rand.NewPCG(w.rng.Uint64(), 3))})
	}
	d.close()
	d.mem = mem
	d.open()
	for i := range w.logs { // it hears of logs of viewers from others
		w.must("hint", d.space.base.Hint(w.ctx, d.copy(i).Key(), d.copy(i).Length()))
	}
	w.must("update", d.space.Update(w.ctx))
	w.note("device %d starts again, crash %v", d.n, crash)
	if n := d.copy(d.log).Length(); n < d.written {
		w.fail("device %d lost %d of its %d nodes", d.n, d.written-n, d.written)
	}
}

// copy returns a log as it is on a device, encrypted.
func (d *simDevice) copy(i int) *hypercore.Core {
	c := d.copies[i]
	if c == nil {
		var err error
		c, err = d.store.Get(d.w.ctx, corestore.GetOptions{KeyPair: d.w.logs[i]})
		d.w.must("open log", err)
		d.copies[i] = c
	}
	return c
}

// send copies to q what d has of the logs, in any order, or only parts of it.
func (d *simDevice) send(q *simDevice, part bool) (changed bool) {
	w := d.w
	if d.space == nil || q.space == nil {
		return false
	}
	for _, i := range w.rng.Perm(len(w.logs)) {
		src, dst := d.copy(i), q.copy(i)
		from, to := dst.Length(), src.Length()
		if part && to > from {
			to = from + uint64(w.rng.Int64N(int64(to-from)+1))
		}
		var blocks [][]byte
		for j := from; j < to && src.Has(j, j+1); j++ {
			b, err := src.GetRaw(w.ctx, j)
			w.must("read", err)
			blocks = append(blocks, b)
		}
		if len(blocks) == 0 {
			continue
		}
		if i == q.log {
			w.fail("device %d knows more of the log of device %d than that one", d.n, q.n)
		}
		_, err := dst.Append(w.ctx, blocks...)
		w.must("copy", err)
		w.must("hint", q.space.base.Hint(w.ctx, dst.Key(), dst.Length()))
		changed = true
	}
	if changed {
		w.must("update", q.space.Update(w.ctx))
		w.settle()
	}
	if !part {
		q.fetch(d, true)
	}
	return changed
}

// heal lets everybody learn everything.
func (w *simulation) heal() {
	for again := true; again; {
		again = false
		for _, d := range w.devices {
			for _, q := range w.devices {
				if d != q && d.send(q, false) {
					again = true
				}
			}
		}
	}
}

// settle lets devices do what they do without being told, and looks at what must hold at
// every moment.
func (w *simulation) settle() {
	synctest.Wait()
	for _, d := range w.devices {
		if d.space != nil {
			d.look()
		}
	}
}

// look notes what a device wrote and has seen: nodes that are new were written by somebody
// who had seen what was noted before. Devices that have the same nodes have one state.
func (d *simDevice) look() {
	w, base := d.w, d.space.base
	w.must("base", base.Err())
	if p := base.Position(); p == d.at && d.seen != nil {
		return
	} else {
		d.at = p
	}
	log := d.space.Log()
	for n := d.copy(d.log).Length(); d.written < n; {
		d.written++
		w.nodes[autobase.Ref{Key: log, Length: d.written}] = d.seen
	}
	d.seen = make(map[hypercrypto.Key]uint64)
	members, err := base.Members(w.ctx)
	w.must("members", err)
	for _, m := range members {
		d.seen[m.Key] = m.Length
	}
	st := base.Status()
	if len(st.Missing) > 0 {
		return // it has more nodes than it can read
	}
	if !d.whole() {
		return // it jumped, and knows of nodes that have not come
	}
	var lengths []uint64
	for i := range w.logs {
		lengths = append(lengths, d.copy(i).Length())
	}
	key, state := fmt.Sprint(lengths), d.state()
	if before, ok := w.states[key]; ok && before != state {
		w.fail("device %d differs at lengths %s:\n%s\n%s", d.n, key, before, state)
	}
	w.states[key] = state
}

// state is what devices with the same nodes must agree on.
func (d *simDevice) state() string {
	st := d.space.base.Status()
	return fmt.Sprintf("tip %d hash %x, members %d, state %d %x", st.Tip, st.Hash[:6], st.Members, st.Views[0].Length, st.Views[0].Hash[:6])
}

// pass lets time go by.
func (w *simulation) pass(d time.Duration) {
	// Never just when something else is due.
	time.Sleep(d + 137*time.Microsecond)
	w.settle()
}

// end closes everything.
func (w *simulation) end() {
	for _, d := range w.devices {
		d.close()
	}
}

// Simulated tells how many recoveries simulations had, of how many a replay from nothing
// gives another state, and how often devices jumped.
func Simulated() (recovered, forked, jumps int64) {
	return simRecovered.Load(), simForked.Load(), simJumps.Load()
}

// Simulate runs a simulation with the collection of files, which this package cannot
// import.
func Simulate(t *testing.T, seed uint64, files Collection) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimulation(t, seed, files)
		defer w.end()
		w.gather()
		for range 18 + w.rng.IntN(18) {
			w.step()
		}
		w.rest()
		w.verify()
	})
}

// sorted returns the keys of a map in order.
func sorted[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
