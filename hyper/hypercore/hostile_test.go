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
	"testing"
	"time"

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
