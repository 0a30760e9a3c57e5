package autobase

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/autobase/liar"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "runs of the simulator")
	simFirst = flag.Int("sim.first", 0, "first seed of the simulator")
	slowdown = 1
	simSeed  = flag.Int64("sim.seed", -1, "run the simulator with this seed only")
)

// quickFS reuses files by renaming and opening them, which the in-memory file
// system cannot do as one step while it is copied.
type quickFS struct{ vfs.FS }

func (fs quickFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return fs.OpenReadWrite(newname, category)
}

// world are peers whose disks and links fail, and what must hold whatever they
// do. Everything follows from the seed.
type world struct {
	t         *testing.T
	rng       *rand.Rand
	enc       *hypercrypto.EncryptionKey
	rotates   bool // there are epochs of keys
	pairs     []*hypercrypto.KeyPair
	peers     []*simPeer
	base      hypercrypto.Key
	confirmed map[confirmedAt]hypercrypto.Hash
	written   int
	forks     int
	story     []string
	liar      *liar.Log // writes the last log; nil: nobody lies
	told      [][]byte  // that log
}

// confirmedAt names a confirmed state.
type confirmedAt struct {
	fork   [32]byte // the last one before it
	length uint64   // of the system view
}

type simPeer struct {
	w     *world
	n     int
	mem   *vfs.MemFS
	store *corestore.Store
	base  *Base
	app   testApp
	ring  *testRing
	logs  []*hypercore.Core
	safe  []uint64 // of every log, what survives a crash
	acked uint64   // own nodes that were acknowledged as durable
	guest bool     // only reads
	slow  bool     // seldom hears of anything
}

func (w *world) note(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.story, "\n"))
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), confirmed: make(map[confirmedAt]hypercrypto.Hash)}
	if w.rng.IntN(4) == 0 {
		w.enc = new(hypercrypto.EncryptionKey)
		w.enc[0] = 9
		w.rotates = w.rng.IntN(4) > 0
	}
	n := 2 + w.rng.IntN(4)
	for range n {
		var s [32]byte
		for i := range s {
			s[i] = byte(w.rng.Uint32())
		}
		w.pairs = append(w.pairs, hypercrypto.KeyPairFromSeed(s))
	}
	w.base = hypercrypto.DefaultManifest(w.pairs[0].Public).Key()
	if w.rng.IntN(3) == 0 {
		w.addLiar()
	}
	for i := range n {
		p := &simPeer{w: w, n: i, mem: vfs.NewCrashableMem(), ring: newRing(), slow: w.rng.IntN(5) == 0}
		w.peers = append(w.peers, p)
		p.open()
	}
	return w
}

// addLiar adds somebody who has a log and keeps to no rule but one: everybody
// gets the same log.
func (w *world) addLiar() {
	var keys []hypercrypto.Key
	for _, kp := range w.pairs {
		keys = append(keys, hypercrypto.DefaultManifest(kp.Public).Key())
	}
	pair := hypercrypto.KeyPairFromSeed([32]byte{98})
	w.pairs = append(w.pairs, pair)
	w.liar = &liar.Log{Own: hypercrypto.DefaultManifest(pair.Public).Key(), Keys: keys, Value: func(n int) []byte {
		switch k := keys[n%len(keys)]; n % 7 {
		case 0:
			return opAdd(k, n%2 == 0)
		case 1:
			return opRemove(k)
		case 2:
			return []byte{byte(n)}
		default:
			return opPut(fmt.Sprint("k", n%9), "a lie")
		}
	}}
}

// lie lets the liar write, and gives a peer some of it.
func (w *world) lie(p *simPeer) {
	ctx := context.Background()
	for range w.rng.IntN(3) {
		for range 256 {
			w.liar.Script = append(w.liar.Script, byte(w.rng.Uint32()))
		}
		if w.rng.IntN(3) > 0 {
			w.liar.Script[0] = 11 // well-formed
		}
		w.told = append(w.told, w.liar.Block(uint64(len(w.told))+1))
		w.liar.Script = nil
	}
	log := p.logs[len(p.logs)-1]
	for log.Length() < uint64(len(w.told)) && w.rng.IntN(6) > 0 {
		if _, err := log.Append(ctx, w.told[log.Length()]); err != nil {
			w.fail("lie: %v", err)
		}
	}
	if w.rng.IntN(4) == 0 {
		if err := p.base.Hint(ctx, w.liar.Own, log.Length()); err != nil {
			w.fail("hint: %v", err)
		}
	}
	if _, err := p.base.Update(ctx); err != nil {
		w.fail("peer %d: %v", p.n, err)
	}
	w.note("peer %d has %d of %d lies", p.n, log.Length(), len(w.told))
	p.check()
}

// someone returns the log of a peer or of the liar.
func (w *world) someone() hypercrypto.Key {
	return hypercrypto.DefaultManifest(w.pairs[w.rng.IntN(len(w.pairs))].Public).Key()
}

func (p *simPeer) open() {
	ctx, w := context.Background(), p.w
	var err error
	p.store, err = corestore.Open(ctx, "store", &corestore.Options{PrimaryKey: &[32]byte{byte(p.n + 1)}, Relaxed: p.n%2 == 1,
		Storage: &storage.Options{FS: quickFS{p.mem}, CacheSize: 1 << 20, MemTableSize: 512 << 10, PageCacheSize: 1 << 20}})
	if err != nil {
		w.fail("open store %d: %v", p.n, err)
	}
	p.app, p.logs = testApp{}, nil
	for i, kp := range w.pairs {
		o := corestore.GetOptions{KeyPair: kp}
		c, err := p.store.Get(ctx, o)
		if err != nil {
			w.fail("open log %d at peer %d: %v", i, p.n, err)
		}
		p.logs = append(p.logs, c)
	}
	local := w.pairs[p.n]
	if p.guest {
		local = hypercrypto.KeyPairFromSeed([32]byte{99})
	}
	o := &Options{Local: local, EncryptionKey: w.enc, AckInterval: -1, NoForward: true}
	if w.rotates {
		o.Keys = p.ring
	}
	p.base, err = Open(ctx, p.store, &w.base, p.app.handlers(), o)
	if err != nil {
		w.fail("open base at peer %d: %v", p.n, err)
	}
	if p.safe == nil {
		p.safe = make([]uint64, len(w.pairs))
	}
	p.check()
}

func (p *simPeer) close() {
	p.base.Close()
	p.store.Close()
}

// crash loses what was not synced, or some of it, and starts again.
func (p *simPeer) crash() {
	w := p.w
	clone := p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 50, 100}[w.rng.IntN(4)], RNG: rand.New(rand.NewPCG(w.rng.Uint64(), 3))})
	p.close()
	p.mem = clone
	p.open()
	w.note("crash %d", p.n)
	for i, c := range p.logs {
		if c.Length() < p.safe[i] {
			w.fail("peer %d had %d durable blocks of log %d and has %d after a crash", p.n, p.safe[i], i, c.Length())
		}
	}
	if p.logs[p.n].Length() < p.acked {
		w.fail("peer %d lost acknowledged nodes: %d of %d are left", p.n, p.logs[p.n].Length(), p.acked)
	}
	p.acked = p.logs[p.n].Length()
}

// check looks at what must hold at every moment.
func (p *simPeer) check() {
	w := p.w
	if err := p.base.Err(); err != nil {
		w.fail("peer %d stopped: %v", p.n, err)
	}
	p.base.mu.Lock()
	defer p.base.mu.Unlock()
	e := p.base.e
	at := func(length uint64) hypercrypto.Hash {
		s, err := e.sys.draft.TreeAt(length)
		if err != nil {
			w.fail("peer %d: tree of %d: %v", p.n, length, err)
		}
		return s.Hash
	}
	k := confirmedAt{length: e.indexed.length}
	if n := len(e.keys.entropies); n > 0 {
		k.fork = e.keys.entropies[n-1]
	}
	if k.length > 0 {
		if h := at(k.length); w.confirmed[k] != h && w.confirmed[k] != (hypercrypto.Hash{}) {
			w.fail("peer %d: another confirmed state at %d", p.n, k.length)
		} else if p.guest || p.acked == p.logs[p.n].Length() {
			// Else a crash may take back the own votes for it.
			w.confirmed[k] = h
		}
	}
	for o, h := range w.confirmed {
		if o.fork == k.fork && o.length <= k.length && at(o.length) != h {
			w.fail("peer %d: the confirmed state at %d changed", p.n, o.length)
		}
	}
}

// send copies to q what p has durably of the logs, or only a part of it.
func (p *simPeer) send(q *simPeer, part bool) (changed bool) {
	ctx, w := context.Background(), p.w
	if err := p.store.DB().Flush(); err != nil {
		w.fail("flush: %v", err)
	}
	for i, c := range p.logs {
		p.safe[i] = c.Length()
		if i == p.n {
			p.acked = max(p.acked, c.Length())
		}
		from, to := q.logs[i].Length(), c.Length()
		if part && to > from {
			to = from + uint64(w.rng.Int64N(int64(to-from)+1))
		}
		var blocks [][]byte
		for j := from; j < to; j++ {
			b, err := c.GetRaw(ctx, j)
			if err != nil {
				w.fail("read: %v", err)
			}
			blocks = append(blocks, b)
		}
		if len(blocks) > 0 {
			if i == q.n {
				w.fail("peer %d knows more of the log of peer %d than that one", p.n, q.n)
			}
			if _, err := q.logs[i].Append(ctx, blocks...); err != nil {
				w.fail("copy: %v", err)
			}
			changed = true
		}
	}
	if _, err := q.base.Update(ctx); err != nil {
		w.fail("peer %d: %v", q.n, err)
	}
	q.check()
	return changed
}

func (p *simPeer) append(values ...[]byte) {
	w := p.w
	rs, err := p.base.Append(context.Background(), values...)
	if errors.Is(err, ErrNotMember) || errors.Is(err, ErrLocked) {
		return
	}
	if err != nil {
		w.fail("append at %d: %v", p.n, err)
	}
	for i, v := range values {
		w.note("peer %d: node %d %s", p.n, rs[i].Ref().Length, v)
	}
	p.durable()
	p.check()
}

// gather makes most peers members, most of them indexers.
func (w *world) gather() {
	for _, p := range w.peers[1:] {
		if w.rng.IntN(4) > 0 {
			w.peers[0].append(opAdd(p.logs[p.n].Key(), w.rng.IntN(4) > 0))
			w.heal()
		}
	}
	w.rest()
}

// fork has p replace the indexers, if that is possible. All have heard of
// everything before, and hear of that before they go on: who decides on a fork has
// to see to it.
func (w *world) fork(p *simPeer) {
	w.heal()
	forks := p.forks()
	var system hypercrypto.Key
	var ends []uint64
	p.look(func(e *engine) { system, ends = e.system.Key(), []uint64{e.indexed.length} })
	for k := range w.confirmed {
		if k.length < ends[0] {
			ends = append(ends, k.length)
		}
	}
	slices.Sort(ends)
	length := ends[len(ends)-1-w.rng.IntN(min(3, len(ends)))]
	var indexers []hypercrypto.Key
	for range 1 + w.rng.IntN(3) {
		indexers = append(indexers, w.someone())
	}
	var may bool
	var err error
	p.look(func(e *engine) {
		may, err = e.mayFork(context.Background(), indexers, Ref{Key: system, Length: length})
	})
	if err != nil {
		w.fail("fork: %v", err)
	}
	if !may || !p.base.Status().Writable {
		return
	}
	p.append(opFork(system, length, indexers...))
	// Its node may be the vote that ends the epoch; then it comes too late.
	forked := p.forks()
	if forked > forks {
		w.forks++
	}
	w.heal()
	for _, q := range w.peers {
		if n := q.forks(); n != forked {
			w.fail("peer %d: %d forks, not %d", q.n, n, forked)
		}
	}
}

// step lets something happen.
func (w *world) step() {
	p := w.peers[w.rng.IntN(len(w.peers))]
	q := w.peers[w.rng.IntN(len(w.peers))]
	if w.liar != nil && w.rng.IntN(6) == 0 {
		w.lie(p)
		return
	}
	if w.rotates && w.rng.IntN(8) == 0 {
		w.rotate(p, q)
		return
	}
	switch x := w.rng.IntN(100); {
	case x < 40:
		var values [][]byte
		for range 1 + w.rng.IntN(3)/2 + w.rng.IntN(2)*w.rng.IntN(3) {
			w.written++
			switch w.rng.IntN(8) {
			case 0:
				values = append(values, opJSON(testOp{Throw: "always"}))
			case 1:
				values = append(values, opJSON(testOp{Del: fmt.Sprint("k", w.rng.IntN(9))}))
			case 2, 3, 4:
				values = append(values, opPut(fmt.Sprint("k", w.rng.IntN(9)), fmt.Sprint(w.written)))
			default:
				values = append(values, opLog("entry %d", w.written))
			}
		}
		p.append(values...)
	case x < 70:
		if p != q && (!q.slow || w.rng.IntN(8) == 0) {
			w.note("send %d to %d: %v", p.n, q.n, p.send(q, w.rng.IntN(2) == 0))
		}
	case x < 84:
		if err := p.base.Ack(context.Background()); err != nil && !errors.Is(err, ErrLocked) {
			w.fail("ack at %d: %v", p.n, err)
		}
		w.note("ack %d", p.n)
		p.check()
		w.ack(p)
	case x < 92:
		p.append(opAdd(w.someone(), w.rng.IntN(2) == 0))
	case x < 95:
		p.append(opRemove(w.someone()))
	case x < 97:
		w.fork(p)
	default:
		p.crash()
	}
}

// rotate lets a peer begin an epoch, or tell another one of the keys it has.
func (w *world) rotate(p, q *simPeer) {
	if w.rng.IntN(5) < 3 {
		epoch := w.rng.Uint32() | 1
		p.ring.add(epoch)
		p.append(opJSON(testOp{Epoch: epoch, Put: []string{"k", fmt.Sprint(epoch)}}))
		return
	}
	q.learn(p.ring)
	w.note("peer %d told %d of its keys", p.n, q.n)
	q.check()
}

// learn takes the keys of another ring.
func (p *simPeer) learn(from *testRing) {
	for epoch := range from.all() {
		p.ring.add(epoch)
	}
	p.base.KeysChanged()
	if _, err := p.base.Update(context.Background()); err != nil {
		p.w.fail("peer %d: %v", p.n, err)
	}
}

// heal lets everybody learn everything.
func (w *world) heal() {
	for _, p := range w.peers {
		for _, q := range w.peers {
			q.learn(p.ring)
		}
	}
	for again := true; again; {
		again = false
		for _, p := range w.peers {
			for _, q := range w.peers {
				if p != q && p.send(q, false) {
					again = true
				}
			}
		}
	}
}

// rest lets those acknowledge who find that it helps, and fails if they never
// stop, or stop with values that could have been confirmed and signed. Most of the
// time everybody hears of an acknowledgement before the next one.
func (w *world) rest() {
	for n := 0; ; n++ {
		if n > 3000 {
			w.fail("they acknowledge for ever")
		}
		if p := w.peers[w.rng.IntN(len(w.peers))]; p.needsAck() {
			w.ack(p)
		}
		if w.rng.IntN(4) == 0 {
			if p, q := w.peers[w.rng.IntN(len(w.peers))], w.peers[w.rng.IntN(len(w.peers))]; p != q {
				p.send(q, w.rng.IntN(2) == 0)
			}
			continue
		}
		w.heal()
		if !slices.ContainsFunc(w.peers, (*simPeer).needsAck) {
			break
		}
	}
	for _, p := range w.peers {
		p.look(p.rested)
	}
}

// rested fails if there are values that the indexers who are present could have confirmed
// and signed.
func (p *simPeer) rested(e *engine) {
	w := p.w
	present := 0
	for _, q := range w.peers {
		if slices.Contains(e.indexers, q.logs[q.n].Key()) {
			present++
		}
	}
	if present <= len(e.indexers)/2 {
		return
	}
	for _, u := range e.applied {
		if u.valued() || u.updated {
			w.fail("peer %d: nobody confirms node %d of log %.8s\n%s", p.n, u.nodes[0].Length, u.nodes[0].Key.Hex(), describe(e))
		}
	}
	if e.signed < e.valuedAt {
		w.fail("peer %d: nobody signs more than %d of %d", p.n, e.signed, e.valuedAt)
	}
}

// look looks at the engine of a peer, which also moves by itself.
func (p *simPeer) look(f func(e *engine)) {
	p.base.mu.Lock()
	defer p.base.mu.Unlock()
	f(p.base.e)
}

func (p *simPeer) needsAck() (needed bool) {
	p.look(func(e *engine) { needed = e.ackNeeded() })
	return needed
}

// forks returns how many there were.
func (p *simPeer) forks() (n int) {
	p.look(func(e *engine) { n = len(e.keys.entropies) })
	return n
}

func (w *world) ack(p *simPeer) {
	if err := p.base.Ack(context.Background()); err != nil {
		w.fail("ack at %d: %v", p.n, err)
	}
	w.note("ack %d", p.n)
	p.durable()
	p.check()
}

// durable notes that what p wrote survives a crash, if that is its mode.
func (p *simPeer) durable() {
	if p.n%2 == 0 {
		p.acked = p.logs[p.n].Length()
	}
}

// state is what peers must agree on.
func (p *simPeer) state() string {
	s := p.base.Status()
	s.Writable, s.Frozen, s.Missing, s.Locked = false, nil, nil, false
	return fmt.Sprintf("%+v", s)
}

// describe tells how far a peer is with the logs.
func describe(e *engine) string {
	var b strings.Builder
	for _, l := range e.writers {
		fmt.Fprintf(&b, "log %.8s: %d blocks, %d loaded, %d given, %d confirmed, frozen %v\n", l.key.Hex(), l.core.Length(), l.length(), l.given, l.offset, l.frozen)
	}
	return b.String()
}

func runWorld(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	defer func() {
		for _, p := range w.peers {
			p.close()
		}
	}()
	if w.rng.IntN(3) > 0 {
		w.gather()
	}
	for range 25 + w.rng.IntN(40) {
		w.step()
	}
	w.heal()
	w.rest()
	w.heal()
	want := w.peers[0].state()
	for _, p := range w.peers[1:] {
		if got := p.state(); got != want {
			w.fail("peers differ:\n%s\n%s", want, got)
		}
	}
	if w.forks == 0 {
		w.replay(want)
	}
	// And after all start again.
	for _, p := range w.peers {
		p.close()
		p.open()
		if got := p.state(); got != want {
			w.fail("peer %d is another after a restart:\n%s\n%s", p.n, want, got)
		}
	}
}

// replay has a reader compute everything from nothing, with the result that the
// others have. A fork counts when it is heard of: in a replay the nodes after it may
// end the epoch that it was meant for before its turn comes, so that who replays a
// base with a fork can come to another state.
func (w *world) replay(want string) {
	fresh := &simPeer{w: w, guest: true, mem: vfs.NewCrashableMem(), ring: w.peers[0].ring}
	fresh.open()
	defer fresh.close()
	for i, c := range w.peers[0].logs {
		for j := range c.Length() {
			b, err := c.GetRaw(context.Background(), j)
			if err != nil {
				w.fail("read: %v", err)
			}
			if _, err := fresh.logs[i].Append(context.Background(), b); err != nil {
				w.fail("copy: %v", err)
			}
		}
	}
	if _, err := fresh.base.Update(context.Background()); err != nil {
		w.fail("replay: %v", err)
	}
	fresh.check()
	if got := fresh.state(); got != want {
		w.peers[0].look(func(e *engine) { w.note("%s", describe(e)) })
		fresh.look(func(e *engine) { w.note("%s", describe(e)) })
		w.fail("a replay from nothing differs:\n%s\n%s", want, got)
	}
}

// TestPeersAgreeWhateverHappens runs many peers in one process. Links carry what
// they carry, disks lose what was not synced, members come and go, some hear
// little, somebody lies, the indexers are replaced by a fork. A run that fails tells
// its seed: -sim.seed runs it again.
func TestPeersAgreeWhateverHappens(t *testing.T) {
	if *simSeed >= 0 {
		runWorld(t, uint64(*simSeed))
		return
	}
	seeds := *simSeeds / slowdown
	if n, err := strconv.Atoi(os.Getenv("SIM_SEEDS")); err == nil {
		seeds = n
	}
	if testing.Short() {
		seeds = min(seeds, 30)
	}
	for seed := *simFirst; seed < *simFirst+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			runWorld(t, uint64(seed))
		})
	}
}
