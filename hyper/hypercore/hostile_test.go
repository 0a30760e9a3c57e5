package hypercore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/storage"
)

const arenaBlocks = 40

// arena is what attacks happen in: a log, and two other histories that its
// signer signed, of which only a stranger knows.
type arena struct {
	w       *Core // the log
	twin    *Core // another history of the same fork: a conflict
	fork    *Core // a legal continuation on fork 1
	readers *storage.DB
	dbs     []*storage.DB
	dir     string
}

// newArena makes an arena that outlives t, until close.
func newArena(t testing.TB) *arena {
	dir, err := os.MkdirTemp("", "arena")
	if err != nil {
		t.Fatal(err)
	}
	a := &arena{dir: dir}
	core := func() *Core {
		c, err := Open(context.Background(), a.db(t), &Options{KeyPair: seeded(1), RequestTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a.readers, a.w, a.twin, a.fork = a.db(t), core(), core(), core()
	mustAppend(t, a.w, testBlocks(0, arenaBlocks)...)
	mustAppend(t, a.twin, append(testBlocks(0, 30), testBlocks(100, 120)...)...)
	mustAppend(t, a.fork, testBlocks(0, arenaBlocks)...)
	if err := a.fork.Truncate(t.Context(), 21, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, a.fork, testBlocks(200, 206)...)
	return a
}

func (a *arena) db(t testing.TB) *storage.DB {
	db, err := storage.Open(filepath.Join(a.dir, fmt.Sprint(len(a.dbs))), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.dbs = append(a.dbs, db)
	return db
}

func (a *arena) close(t testing.TB) {
	for _, c := range []*Core{a.w, a.twin, a.fork} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, db := range a.dbs {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(a.dir); err != nil {
		t.Error(err)
	}
}

// attack runs a script of a stranger against a writer and a reader that are
// connected to each other, and checks that they take no harm. It returns false
// when the arena is used up: by a conflict, or because the writer's key has
// signed another fork elsewhere, which it follows like anybody.
func (a *arena) attack(t testing.TB, script []byte) (reusable bool) {
	key := a.w.Key()
	r, err := Open(t.Context(), a.readers, &Options{Key: &key, MaxInflight: 16, AllowPush: len(script)%3 == 0})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		b := a.readers.NewBatch()
		defer b.Close()
		b.DeleteCore(r.log.st)
		if err := b.Commit(storage.Relaxed); err != nil {
			t.Fatal(err)
		}
	}()
	before := a.w.TreeHash()
	stop := join(t, a.w, r)
	ctx := timeout(t)
	if err := r.Download(Range{Start: 3, End: 9}).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	s := &stranger{t: t, a: a, script: script}
	s.meet(a.w)
	s.meet(r)
	d := r.Download(Range{})
	s.act()
	s.leave()
	digested(t, a.w, r)
	if s.forked && max(a.w.Fork(), r.Fork()) == 1 && !a.w.Info().Frozen && !r.Info().Frozen {
		for ctx.Err() == nil && (r.Fork() != a.w.Fork() || r.TreeHash() != a.w.TreeHash()) {
			time.Sleep(time.Millisecond) // each follows the other
		}
	}
	moved := s.forked && a.w.Fork() == 1 && a.w.TreeHash() == a.fork.TreeHash()
	if h := a.w.TreeHash(); !moved && (h != before || a.w.Length() != arenaBlocks || a.w.Fork() != 0) {
		t.Fatalf("the log of the writer has changed: %d blocks of fork %d", a.w.Length(), a.w.Fork())
	}
	frozen := false
	for _, c := range []*Core{a.w, r} {
		report, err := c.Audit(ctx, nil)
		if err != nil || !report.OK() {
			t.Fatalf("audit: %+v, %v", report, err)
		}
		e, err := c.Evidence()
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			continue
		}
		frozen = true
		if !s.conflict {
			t.Error("frozen without a conflict")
		}
		if err := VerifyEvidence(c.Key(), c.Manifest(), e); err != nil {
			t.Errorf("evidence: %v", err)
		}
	}
	switch {
	case frozen, moved:
	case r.Fork() == 0:
		// The honest peer still serves.
		if err := d.Wait(ctx); err != nil {
			logReplication(t, r)
			logReplication(t, a.w)
			t.Fatalf("with %d of %d blocks of %d: %v", r.Info().Held, r.Length(), arenaBlocks, err)
		}
		settled(t, r, a.w)
		for i := range uint64(arenaBlocks) {
			if b, err := r.Get(ctx, i); err != nil || !bytes.Equal(b, testBlock(int(i))) {
				t.Fatalf("block %d: %q, %v", i, b, err)
			}
		}
	default:
		t.Errorf("the reader is on fork %d", r.Fork())
	}
	d.Close()
	stop()
	return !frozen && !moved
}

// stranger is a peer that knows the key and keeps to no rule.
type stranger struct {
	t      testing.TB
	a      *arena
	script []byte
	front  []*encounter
	flood  int

	conflict bool // it showed what is a conflict
	forked   bool // it showed the other fork
}

// encounter is the stranger's connection to one log.
type encounter struct {
	m       *protomux.Mux
	end     *pipeEnd
	done    []<-chan struct{}
	blocked chan struct{} // not nil: nothing is read until it is closed

	mu      sync.Mutex
	ch      *protomux.Channel
	pending []wire.Request // of the other side
}

func (s *stranger) meet(c *Core) {
	x, y := newPipe()
	e := &encounter{end: x, blocked: make(chan struct{})}
	e.m = protomux.New(&gated{pipeEnd: x, e: e}, nil)
	m := protomux.New(y, nil)
	dk := c.DiscoveryKey()
	e.m.Pair(wire.Protocol, dk[:], func([]byte) { s.open(e) })
	if err := c.Replicate(m); err != nil {
		s.t.Fatal(err)
	}
	e.done = append(e.done, runMux(e.m), runMux(m))
	s.front = append(s.front, e)
}

// gated is a stream that can stop to be read.
type gated struct {
	*pipeEnd
	e *encounter
}

func (g *gated) ReadFrame() ([]byte, error) {
	g.e.mu.Lock()
	b := g.e.blocked
	g.e.mu.Unlock()
	if b == nil {
		<-g.own
	}
	return g.pipeEnd.ReadFrame()
}

func (s *stranger) open(e *encounter) {
	key, dk := s.a.w.Key(), s.a.w.DiscoveryKey()
	hash := e.end.HandshakeHash()
	h := wire.Handshake{Seeks: true, Capability: hypercrypto.Capability(key, &hash, e.end.IsInitiator())}
	ch, err := e.m.Open(protomux.ChannelOptions{
		Protocol: wire.Protocol, ID: dk[:], Handshake: h.AppendTo(nil),
		Messages: []func(*protomux.Channel, []byte) error{
			wire.TypeRequest: func(_ *protomux.Channel, body []byte) error {
				q, err := wire.DecodeRequest(body)
				if err != nil {
					return err
				}
				e.mu.Lock()
				defer e.mu.Unlock()
				if len(e.pending) < 1000 {
					e.pending = append(e.pending, q)
				}
				return nil
			},
		},
	})
	if err != nil {
		return // the other side has had enough
	}
	e.mu.Lock()
	e.ch = ch
	e.mu.Unlock()
}

// leave ends the connections and waits until all that was said is digested.
func (s *stranger) leave() {
	for _, e := range s.front {
		if e.blocked != nil {
			_ = e.m.Flush(timeout(s.t))
		}
		e.m.Close()
		for _, d := range e.done {
			<-d
		}
	}
}

func (s *stranger) byte() byte {
	if len(s.script) == 0 {
		return 0
	}
	b := s.script[0]
	s.script = s.script[1:]
	return b
}

// number is an integer as it might be, or not.
func (s *stranger) number() uint64 {
	b := s.byte()
	switch n := uint64(b >> 3); b & 7 {
	case 0, 1:
		return n
	case 2:
		return arenaBlocks - 16 + n
	case 3:
		return 1 << (n & 31)
	case 4:
		return 1<<40 + n
	case 5:
		return 1<<(21+n) + n&1
	case 6:
		return 1<<53 - 1 - n
	default:
		return uint64(s.byte())<<8 | uint64(s.byte())
	}
}

func (s *stranger) act() {
	for len(s.script) > 0 {
		op := s.byte()
		e := s.front[op>>7]
		e.mu.Lock()
		ch := e.ch
		e.mu.Unlock()
		for i := 0; ch == nil && i < 1000; i++ {
			// The other side is about to open.
			time.Sleep(10 * time.Microsecond)
			e.mu.Lock()
			ch = e.ch
			e.mu.Unlock()
		}
		if ch == nil {
			return
		}
		s.step(e, ch, op&0x7f)
	}
}

func (s *stranger) step(e *encounter, ch *protomux.Channel, op byte) {
	send := func(typ int, enc func([]byte) []byte) { ch.Send(typ, enc(nil)) }
	switch op % 24 {
	case 0:
		f := s.byte()
		m := wire.Sync{Fork: s.number(), Length: s.number(), RemoteLength: s.number(), CanUpgrade: f&1 == 0, Uploading: f&2 == 0,
			Downloading: f&4 == 0, HasManifest: f&8 == 0, AllowPush: f&16 != 0}
		send(wire.TypeSync, m.AppendTo)
	case 1, 2: // what an honest peer says, so that it is asked
		src := s.source()
		m := wire.Sync{Fork: src.Fork(), Length: src.Length(), RemoteLength: arenaBlocks, CanUpgrade: true, Uploading: true, Downloading: true, HasManifest: true}
		send(wire.TypeSync, m.AppendTo)
		r := wire.Range{Length: src.Length()}
		send(wire.TypeRange, r.AppendTo)
	case 3, 4:
		q := s.request()
		send(wire.TypeRequest, q.AppendTo)
	case 5:
		m := wire.Cancel{Request: s.number()}
		send(wire.TypeCancel, m.AppendTo)
	case 6, 7, 8, 9, 10:
		s.answer(e, ch)
	case 11:
		m := wire.NoData{Request: s.number(), Reason: uint64(s.byte() & 3)}
		send(wire.TypeNoData, m.AppendTo)
	case 12, 13:
		m := wire.Want{Start: s.number(), Length: s.number(), Any: op&1 == 0}
		typ := wire.TypeWant
		if s.byte()&1 == 1 {
			typ = wire.TypeUnwant
		}
		send(typ, m.AppendTo)
	case 14:
		m := wire.Bitfield{Start: s.number(), Bits: bytes.Repeat([]byte{s.byte()}, 4*int(s.byte()))}
		send(wire.TypeBitfield, m.AppendTo)
	case 15, 16:
		m := wire.Range{Drop: s.byte()&1 == 1, Start: s.number(), Length: s.number()}
		send(wire.TypeRange, m.AppendTo)
	case 17:
		m := wire.Extension{Name: string(bytes.Repeat([]byte{'e'}, int(s.byte()))), Payload: []byte{1}}
		send(wire.TypeExtension, m.AppendTo)
	case 18:
		body := make([]byte, s.byte()&63)
		for i := range body {
			body[i] = s.byte()
		}
		ch.Send(int(s.byte()%12), body)
	case 19:
		ch.Close()
		s.open(e)
	case 20: // a flood of one request
		q := s.request()
		body := q.AppendTo(nil)
		for range 1 << (s.byte() % 13) {
			if s.flood++; s.flood > 20_000 {
				break // more is a matter of time only
			}
			ch.Send(wire.TypeRequest, body)
		}
	case 21: // evidence, or what looks like it
		src := s.source()
		d := s.prove(src, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 1 + s.number()%arenaBlocks}})
		if d != nil {
			s.mutate(d)
			send(wire.TypeData, d.AppendTo)
		}
	case 22:
		if e.blocked != nil && s.byte()&7 == 0 {
			e.mu.Lock()
			e.blocked = nil
			e.mu.Unlock()
		}
	case 23:
		time.Sleep(100 * time.Microsecond) // let the other side do something
	}
}

// source chooses whose history is told.
func (s *stranger) source() *Core {
	switch s.byte() % 8 {
	case 0:
		s.conflict = true
		return s.a.twin
	case 1, 2:
		s.forked = true
		return s.a.fork
	default:
		return s.a.w
	}
}

func (s *stranger) request() wire.Request {
	q := wire.Request{ID: uint64(s.byte()), Fork: uint64(s.byte() >> 6), Priority: uint64(s.byte() & 3)}
	f := s.byte()
	if f&1 == 0 {
		q.Block = &merkle.BlockRequest{Index: s.number(), Levels: uint64(s.byte() & 7)}
	}
	if f&6 == 2 {
		q.Hash = &merkle.HashRequest{Index: s.number(), Levels: s.number()}
	}
	if f&24 == 8 {
		q.Seek = &merkle.SeekRequest{Bytes: s.number(), Padding: uint64(s.byte() & 15)}
	}
	if f&96 == 32 {
		q.Upgrade = &merkle.UpgradeRequest{Start: s.number(), Length: s.number()}
	}
	q.Manifest = f&128 != 0
	return q
}

// prove answers a request honestly, nil if that is not possible.
func (s *stranger) prove(c *Core, q *merkle.Request) *wire.Data {
	h := c.log.state()
	proof, err := h.Tree.Prove(c.log, q, 0)
	if err != nil {
		return nil
	}
	if proof.Block != nil {
		proof.Block.Value = append([]byte(nil), testBlock(int(proof.Block.Index))...)
		if b, err := c.GetLocal(proof.Block.Index); err == nil {
			proof.Block.Value = b
		}
	}
	if proof.Upgrade != nil {
		proof.Upgrade.Signature = bytes.Clone(h.signature)
	}
	d := &wire.Data{Proof: *proof}
	if q.Manifest || s.byte()&7 == 0 {
		d.Manifest = c.Manifest()
	}
	return d
}

// answer answers a request of the other side, or none, more or less rightly and
// more or less often.
func (s *stranger) answer(e *encounter, ch *protomux.Channel) {
	how := s.byte()
	q := wire.Request{ID: uint64(how), Request: merkle.Request{Block: &merkle.BlockRequest{Index: uint64(how) % arenaBlocks}}}
	for i := 0; how&1 == 0 && i < 4; i++ {
		e.mu.Lock()
		if n := len(e.pending); n > 0 {
			i = n - 1
			if how&2 != 0 {
				i = 0
			}
			q = e.pending[i]
			if how&4 == 0 {
				e.pending = append(e.pending[:i], e.pending[i+1:]...)
			}
			i = 4
		}
		e.mu.Unlock()
		if i < 4 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	d := s.prove(s.source(), &q.Request)
	if d == nil {
		return
	}
	d.Request = q.ID
	s.mutate(d)
	body := d.AppendTo(nil)
	for range 1 + int(how>>6) {
		ch.Send(wire.TypeData, body)
	}
}

// mutate spoils an answer, or not.
func (s *stranger) mutate(d *wire.Data) {
	var lists []*[]merkle.Node
	if d.Block != nil {
		lists = append(lists, &d.Block.Nodes)
	}
	if d.Hash != nil {
		lists = append(lists, &d.Hash.Nodes)
	}
	if d.Seek != nil {
		lists = append(lists, &d.Seek.Nodes)
	}
	if d.Upgrade != nil {
		lists = append(lists, &d.Upgrade.Nodes, &d.Upgrade.Additional)
	}
	for n := s.byte() % 4; n > 0; n-- {
		op := s.byte()
		var list *[]merkle.Node
		var node *merkle.Node
		if len(lists) > 0 {
			list = lists[int(op>>4)%len(lists)]
			if len(*list) > 0 {
				node = &(*list)[int(s.byte())%len(*list)]
			}
		}
		switch op % 12 {
		case 0:
			if node != nil {
				node.Hash[s.byte()%32] ^= 1 << (op >> 5)
			}
		case 1:
			if node != nil {
				node.Size = s.number()
			}
		case 2:
			if node != nil {
				node.Index = s.number()
			}
		case 3:
			if node != nil {
				*list = (*list)[:len(*list)-1]
			}
		case 4:
			if node != nil {
				*list = append(*list, *node)
			}
		case 5:
			if d.Block != nil {
				d.Block.Value = append(d.Block.Value, s.byte())
			}
		case 6:
			if d.Block != nil && len(d.Block.Value) > 0 {
				d.Block.Value[0] ^= op
			}
		case 7:
			if u := d.Upgrade; u != nil && len(u.Signature) > 0 {
				u.Signature[int(s.byte())%len(u.Signature)] ^= 1
			}
		case 8:
			d.Fork = s.number()
		case 9:
			d.Request = s.number()
		case 10:
			if d.Upgrade != nil {
				d.Upgrade.Start, d.Upgrade.Length = s.number(), s.number()
			}
		case 11:
			d.Upgrade = nil
		}
	}
}

// FuzzHostilePeer lets scripts play a peer that keeps to no rule.
func FuzzHostilePeer(f *testing.F) {
	for _, s := range hostileScripts(24) {
		f.Add(s)
	}
	var a *arena
	f.Cleanup(func() {
		if a != nil {
			a.close(f)
		}
	})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<11 {
			return
		}
		if a == nil {
			a = newArena(t)
		}
		if !a.attack(t, script) {
			a.close(t)
			a = nil
		}
	})
}

// hostileScripts returns scripts from a fixed seed.
func hostileScripts(n int) (list [][]byte) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		s := make([]byte, 0, 400)
		for len(s) < 40+10*i {
			s = binary.LittleEndian.AppendUint64(s, rng.Uint64())
		}
		list = append(list, s)
	}
	return list
}

func TestHostilePeersDoNoHarm(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 20
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	goroutines := 0
	var a *arena
	defer func() {
		if a != nil {
			a.close(t)
		}
	}()
	for i := range rounds {
		if a == nil {
			a = newArena(t)
			goroutines = runtime.NumGoroutine()
		}
		script := make([]byte, 100+rng.IntN(900))
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		if !a.attack(t, script) {
			a.close(t)
			a = nil
		}
		if t.Failed() {
			t.Fatalf("round %d of seed %d: %x", i, seed, script)
		}
		if a != nil {
			waitGoroutines(t, goroutines)
		}
	}
}

// waitGoroutines waits until no more goroutines are left than before, but for a
// few of the database.
func waitGoroutines(t *testing.T, before int) {
	t.Helper()
	ctx := timeout(t)
	for runtime.NumGoroutine() > before+8 {
		if ctx.Err() != nil {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond)
	}
}

// logReplication logs what a replicator waits for.
func logReplication(t testing.TB, c *Core) {
	r := c.log.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("%d of %d blocks of fork %d held, upgrade %v, reorg %v, asked %v, %d queued", c.log.st.CountHeld(0, c.Length()), c.Length(), c.Fork(), r.upgrade != nil, r.reorg != nil, r.asked, len(r.queue))
	for _, p := range r.peers {
		t.Logf("peer: opened %v, paused %v, remote %+v, acked %d, sent %+v, can upgrade %v, contiguous %d, missing %v, %d in flight, %d to check, bits %v",
			p.opened, p.paused, p.remote, p.lengthAcked, p.sent, p.canUpgrade, p.contiguous, p.missing, len(p.inflight), p.checking, p.bits.Count())
	}
	for _, d := range r.downloads {
		t.Logf("download: %+v, next %d", d.r, d.next)
	}
}

// digested waits until all that was received is checked.
func digested(t testing.TB, cores ...*Core) {
	ctx := timeout(t)
	for _, c := range cores {
		r := c.log.repl
		for busy := true; busy && ctx.Err() == nil; {
			r.mu.Lock()
			busy = r.ingesting
			r.mu.Unlock()
			runtime.Gosched()
		}
	}
}
