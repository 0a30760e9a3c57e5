package autobase

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/salsa20"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// testRing is a ring whose keys follow from their numbers.
type testRing struct {
	mu   sync.Mutex
	keys map[uint32]hypercrypto.EncryptionKey
}

func newRing(epochs ...uint32) *testRing {
	r := &testRing{keys: make(map[uint32]hypercrypto.EncryptionKey)}
	for _, n := range epochs {
		r.add(n)
	}
	return r
}

func (r *testRing) add(epoch uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[epoch] = hypercrypto.EncryptionKey(hypercrypto.Sum(binary.LittleEndian.AppendUint32([]byte("epoch"), epoch)))
}

func (r *testRing) Key(epoch uint32) (hypercrypto.EncryptionKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[epoch]
	return k, ok
}

func (r *testRing) all() map[uint32]hypercrypto.EncryptionKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.keys)
}

var testSecret = hypercrypto.EncryptionKey{7, 7, 7}

// newRingPeers returns peers whose rings are the given ones.
func newRingPeers(t testing.TB, rings ...*testRing) *pair {
	t.Helper()
	return newPeersOf(t, len(rings), func(i int) Options { return Options{EncryptionKey: &testSecret, Keys: rings[i]} })
}

func opEpoch(epoch uint32) []byte { return opJSON(testOp{Epoch: epoch}) }

// viewsSigned tells whether all that is in the views is signed.
func viewsSigned(s Status) bool {
	return !slices.ContainsFunc(s.Views, func(v ViewStatus) bool { return v.Signed != v.Length })
}

// epochs returns those of the blocks of a log.
func (p *pair) epochs(i int) (list []uint32) {
	p.t.Helper()
	c := p.logAt(i, i)
	defer c.Close()
	zero := hypercrypto.DeriveBlockKey(testSecret, c.Key(), false)
	for n := range c.Length() {
		b, err := c.GetRaw(context.Background(), n)
		if err != nil {
			p.t.Fatal(err)
		}
		epoch, err := hypercrypto.BlockEpoch(zero, n, b)
		if err != nil {
			p.t.Fatal(err)
		}
		list = append(list, epoch)
	}
	return list
}

func TestBeforeTheFirstEpochARingChangesNothing(t *testing.T) {
	var hashes []hypercrypto.Hash
	for _, keys := range []hypercrypto.KeyRing{nil, newRing(1, 2)} {
		p := newPeers(t, 2, Options{EncryptionKey: &testSecret, Keys: keys})
		p.append(0, opAdd(p.bases[1].LocalKey(), true), opLog("one"))
		p.sync()
		p.append(1, opPut("a", "b"))
		p.settle(2)
		s := p.agree("without an epoch")
		log := p.logAt(1, 0)
		hashes = append(hashes, s.Hash, s.Views[0].Hash, s.Views[1].Hash, log.TreeHash())
		log.Close()
	}
	if !slices.Equal(hashes[:4], hashes[4:]) {
		t.Fatalf("another state with a ring: %v", hashes)
	}
}

func TestARingNeedsAnEncryptedBase(t *testing.T) {
	s, err := corestore.Open(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Open(context.Background(), s, nil, new(testApp).handlers(), &Options{Keys: newRing()}); err == nil {
		t.Fatal("a base in clear was opened with a ring")
	}
}

func TestEpochsAreTheSameOnAllPeers(t *testing.T) {
	ring := newRing(7, 3, 1<<31)
	p := newRingPeers(t, ring, ring, ring)
	p.append(0, opAdd(p.bases[1].LocalKey(), true), opLog("before"))
	p.sync()
	p.append(1, opPut("k", "before"))
	p.sync()
	p.append(0, opEpoch(7), opLog("the same append"))
	p.append(0, opLog("after"))
	if got := p.epochs(0); !slices.Equal(got[len(got)-3:], []uint32{0, 0, 7}) {
		t.Fatalf("the first log is of epochs %v", got)
	}
	p.sync()
	// Two rotations that do not know of each other.
	p.append(0, opEpoch(3))
	p.append(0, opPut("a", "of 3"))
	p.append(1, opEpoch(1<<31))
	p.append(1, opPut("b", "of 2^31"))
	if got := p.epochs(1); got[len(got)-1] != 1<<31 {
		t.Fatalf("the second log is of epochs %v", got)
	}
	p.settle(3)
	s := p.agree("two epochs at once")
	if !viewsSigned(s) || s.Epoch == 7 || s.Epoch == 0 || p.bases[2].KeyEpoch() != s.Epoch {
		t.Fatalf("at the end: %+v", s)
	}
	// A change of indexers, and restarts.
	p.append(0, opAdd(p.bases[2].LocalKey(), true))
	p.settle(3)
	p.append(0, opRemove(p.bases[1].LocalKey()))
	p.settle(3)
	p.append(2, opLog("a new indexer"))
	p.settle(3)
	s = p.agree("other indexers")
	for i, b := range p.bases {
		if err := b.Check(context.Background(), new(testApp).handlers()); err != nil {
			t.Fatalf("base %d: %v", i, err)
		}
		before, key := p.text(i), b.Key()
		if err := p.reopen(i, &key, Options{Keys: ring}); err != nil {
			t.Fatal(err)
		}
		if after := p.text(i); after != before {
			t.Fatalf("base %d after a restart:\n%s\n%s", i, before, after)
		}
	}
	p.append(2, opLog("after restarts"))
	p.settle(2)
	if s = p.agree("after restarts"); !viewsSigned(s) {
		t.Fatalf("not all is signed: %+v", s)
	}
	if got := p.epochs(2); got[len(got)-1] != s.Epoch {
		t.Fatalf("the third log is of epochs %v in epoch %d", got, s.Epoch)
	}
}

func TestARefusedEpochIsNone(t *testing.T) {
	ring := newRing(1, 2)
	p := newRingPeers(t, ring)
	p.append(0, opJSON(testOp{Epoch: 1, Throw: "no"}))
	if n := p.bases[0].KeyEpoch(); n != 0 {
		t.Fatalf("epoch %d", n)
	}
	p.append(0, opEpoch(2), opLog("x"))
	p.append(0, opEpoch(1), opJSON(testOp{Throw: "no"}))
	if n := p.bases[0].KeyEpoch(); n != 2 {
		t.Fatalf("epoch %d", n)
	}
	app := &testApp{}
	h := app.handlers()
	var got error
	h.Apply = func(_ context.Context, _ []Node, h *Host) error {
		got = h.SetKeyEpoch(0)
		return nil
	}
	q := newRingPeers(t, ring)
	q.bases[0].mu.Lock()
	q.bases[0].e.apply = h.Apply
	q.bases[0].mu.Unlock()
	q.append(0, opLog("x"))
	if !errors.Is(got, ErrEpoch) || q.bases[0].Err() != nil {
		t.Fatalf("epoch 0: %v, %v", got, q.bases[0].Err())
	}
}

func TestNodesWaitForTheirKey(t *testing.T) {
	ctx := context.Background()
	some := newRing()
	p := newRingPeers(t, newRing(5), some, newRing(5))
	p.append(0, opAdd(p.bases[1].LocalKey(), false), opAdd(p.bases[2].LocalKey(), false))
	p.sync()
	p.append(1, opLog("one"))
	p.sync()
	p.append(0, opEpoch(5))
	p.append(0, opLog("two"))
	p.append(2, opLog("three"))
	p.sync()
	s := p.bases[1].Status()
	if n := p.apps[1].log.Length(); n != 1 || s.Epoch != 0 || !slices.Equal(s.Missing, []uint32{5}) || len(s.Frozen) != 0 || p.bases[1].Err() != nil {
		t.Fatalf("%d blocks without the key, %+v, %v", n, s, p.bases[1].Err())
	}
	if _, err := p.bases[1].Append(ctx, opLog("not now")); !errors.Is(err, ErrLocked) {
		t.Fatalf("a value without the key in force: %v", err)
	}
	if err := p.bases[1].Ack(ctx); err != nil {
		t.Fatal(err)
	}
	if n := p.apps[0].log.Length(); n != 3 {
		t.Fatalf("the others have %d blocks", n)
	}
	key := p.bases[1].Key()
	if err := p.reopen(1, &key, Options{Keys: some}); err != nil {
		t.Fatal(err)
	}
	if s := p.bases[1].Status(); !slices.Equal(s.Missing, []uint32{5}) {
		t.Fatalf("after a restart: %+v", s)
	}
	// The base goes on by itself.
	at := p.bases[1].Position()
	some.add(5)
	p.bases[1].KeysChanged()
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for p.apps[1].log.Length() < 3 {
		var err error
		if at, err = p.bases[1].WaitChange(wait, at); err != nil {
			t.Fatal(err)
		}
	}
	p.append(1, opLog("four"))
	p.settle(2)
	if s := p.agree("with the key"); s.Epoch != 5 || s.Missing != nil {
		t.Fatalf("with the key: %+v", s)
	}
}

// A device that somebody let in without knowing of an epoch finds its key in a node
// that follows others which it cannot read.
func TestAKeyIsFoundInWhatWaitsForIt(t *testing.T) {
	ctx := context.Background()
	for _, restart := range []bool{false, true} {
		late := newRing()
		var base atomic.Pointer[Base]
		o := Options{EncryptionKey: &testSecret, Keys: late}
		o.Peek = func(_ hypercrypto.Key, value []byte) {
			if bytes.Contains(value, []byte("the key of 5")) {
				late.add(5)
				if b := base.Load(); b != nil {
					b.KeysChanged()
				}
			}
		}
		p := newPeersOf(t, 2, func(i int) Options {
			if i == 1 {
				return o
			}
			return Options{EncryptionKey: &testSecret, Keys: newRing(5)}
		})
		base.Store(p.bases[1])
		p.append(0, opAdd(p.bases[1].LocalKey(), false), opLog("before"))
		p.sync()
		p.append(0, opEpoch(5))
		for i := range 3 {
			p.append(0, opLog("after %d", i))
		}
		p.sync()
		if n := p.apps[1].log.Length(); n != 1 || p.bases[1].Err() != nil {
			t.Fatalf("%d blocks without the key", n)
		}
		if restart {
			base.Store(nil)
			key := p.bases[0].Key()
			if err := p.reopen(1, &key, o); err != nil {
				t.Fatal(err)
			}
			base.Store(p.bases[1])
		}
		rs, err := p.bases[0].AppendIn(ctx, 0, opLog("the key of 5"))
		if err != nil || !closed(rs[0].Visible()) {
			t.Fatal(err)
		}
		p.append(0, opLog("at the end"))
		if got := p.epochs(0); !slices.Equal(got[len(got)-3:], []uint32{5, 0, 5}) {
			t.Fatalf("the log is of epochs %v", got)
		}
		p.sync()
		wait, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for at := p.bases[1].Position(); p.apps[1].log.Length() < 6; {
			if at, err = p.bases[1].WaitChange(wait, at); err != nil {
				t.Fatal(err)
			}
		}
		p.append(1, opLog("of the late one"))
		p.settle(2)
		p.agree("at the end")
	}
	p := newRingPeers(t, newRing(1))
	var unknown *hypercrypto.UnknownKeyError
	if _, err := p.bases[0].AppendIn(ctx, 2, opLog("x")); !errors.As(err, &unknown) {
		t.Fatalf("written in an unknown epoch: %v", err)
	}
}

// An epoch that nobody knows is as a block that nobody has.
func TestAnUnknownEpochStopsOnlyItsLog(t *testing.T) {
	ring := newRing(1)
	p := newRingPeers(t, ring, ring)
	p.append(0, opAdd(p.bases[1].LocalKey(), false))
	p.sync()
	evil := p.logAt(1, 0)
	defer evil.Close()
	zero := hypercrypto.DeriveBlockKey(testSecret, evil.Key(), false)
	node := (&oplog.Block{Batch: 1, Value: opLog("x")}).AppendTo(make([]byte, hypercrypto.EncryptionPadding))
	if err := hypercrypto.EpochEncryption(zero, newRing(99), func() uint32 { return 99 }).Encrypt(0, 0, node); err != nil {
		t.Fatal(err)
	}
	if _, err := evil.Append(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	p.append(0, opLog("goes on"))
	s := p.bases[0].Status()
	if p.apps[0].log.Length() != 1 || len(s.Frozen) != 0 || !slices.Equal(s.Missing, []uint32{99}) {
		t.Fatalf("%d blocks, %+v", p.apps[0].log.Length(), s)
	}
}

func TestAnOwnLogThatCannotBeReadIsNotWritten(t *testing.T) {
	ctx := context.Background()
	ring := newRing(1)
	p := newRingPeers(t, ring, ring)
	p.append(0, opAdd(p.bases[1].LocalKey(), true))
	p.sync()
	p.append(0, opEpoch(1))
	p.sync()
	p.append(1, opLog("of epoch 1"))
	key := p.bases[1].Key()
	if err := p.reopen(1, &key, Options{Keys: newRing()}); err != nil {
		t.Fatal(err)
	}
	if err := p.bases[1].Ack(ctx); !errors.Is(err, ErrLocked) {
		t.Fatalf("acknowledged: %v", err)
	}
	if _, err := p.bases[1].Append(ctx, opLog("x")); !errors.Is(err, ErrLocked) {
		t.Fatalf("written: %v", err)
	}
	if err := p.bases[1].Err(); err != nil {
		t.Fatal(err)
	}
}

func TestAReaderJumpsWithTheKeys(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := newRingPeers(t, newRing(1, 2))
	for n := range 90 {
		if n%30 == 20 {
			p.append(0, opEpoch(uint32(n/30)%2+1))
		}
		p.append(0, opLog("entry %d", n), opPut(fmt.Sprint("k", n), "v"))
	}
	for _, ring := range []*testRing{newRing(1, 2), newRing()} {
		late := len(ring.all()) == 0
		store, err := corestore.Open(ctx, t.TempDir(), &corestore.Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		var forwards, waits int
		app, key := &testApp{}, p.bases[0].Key()
		locked := make(chan struct{})
		r, err := Open(ctx, store, &key, app.handlers(), &Options{AckInterval: -1, EncryptionKey: &testSecret, Keys: ring, OnEvent: func(e Event) {
			switch e.Type {
			case EventForward:
				forwards++
			case EventLocked:
				if waits++; waits == 1 {
					close(locked)
				}
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); store.Close() })
		connect(t, p.bases[0], r)
		if late {
			select {
			case <-locked:
			case <-ctx.Done():
				t.Fatal("nothing waits for a key")
			}
			ring.add(1)
			ring.add(2)
			r.KeysChanged()
		}
		for at := r.Position(); app.log.Length() < 90; {
			if at, err = r.WaitChange(ctx, at); err != nil {
				t.Fatalf("late %v: %d of 90 blocks: %v", late, app.log.Length(), err)
			}
		}
		if !late && forwards == 0 {
			t.Error("the reader replayed all")
		}
		for _, n := range []int{0, 25, 55, 89} {
			if b, err := app.log.Get(ctx, uint64(n)); err != nil || string(b) != fmt.Sprint("entry ", n) {
				t.Fatalf("block %d is %q, %v", n, b, err)
			}
		}
		if r.KeyEpoch() != p.bases[0].KeyEpoch() || app.kv.Core().TreeHash() != p.apps[0].kv.Core().TreeHash() {
			t.Fatal("the reader has another state")
		}
	}
}

// thief is somebody with keys and all blocks that anybody stores.
type thief struct {
	t      *testing.T
	keys   [][32]byte
	blocks []hoard
}

type hoard struct {
	index uint64
	raw   []byte
}

// rob takes all blocks of stores.
func rob(t *testing.T, stores ...*corestore.Store) *thief {
	t.Helper()
	x := &thief{t: t}
	for _, s := range stores {
		for dk, err := range s.List() {
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Get(context.Background(), corestore.GetOptions{DiscoveryKey: &dk, Passive: true})
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Length() {
				if c.Has(i, i+1) {
					b, err := c.GetRaw(context.Background(), i)
					if err != nil {
						t.Fatal(err)
					}
					x.blocks = append(x.blocks, hoard{i, b})
				}
			}
			c.Close()
		}
	}
	return x
}

// derive makes all keys that follow from the key of the base, its encryption key,
// the keys of epochs and what is stored in clear.
func (x *thief) derive(base hypercrypto.Key, logs []hypercrypto.Key, epochs map[uint32]hypercrypto.EncryptionKey) {
	l := &lineage{base: base, encryption: &testSecret}
	entropies := [][32]byte{nsGenesis}
	for _, b := range x.blocks {
		if e, err := decodeDescriptor(b.raw); err == nil {
			entropies = append(entropies, e)
		}
	}
	for _, k := range epochs {
		entropies = append(entropies, k)
	}
	var zero [][32]byte
	for _, name := range []string{"log", "kv", systemName, encryptionName} {
		zero = append(zero, l.viewKey(name))
		for _, e := range entropies {
			x.keys = append(x.keys, hypercrypto.Sum(nsBlockKey[:], base[:], e[:], []byte(name)))
		}
	}
	for _, k := range logs {
		zero = append(zero, hypercrypto.DeriveBlockKey(testSecret, k, false))
		for _, e := range entropies {
			block, _ := l.logKeys(k)(e)
			x.keys = append(x.keys, block)
		}
	}
	x.keys = append(x.keys, zero...)
	for _, z := range zero {
		for _, k := range epochs {
			ns := hypercrypto.Namespace("cloudpal/key-epoch", 0)
			x.keys = append(x.keys, hypercrypto.Sum(ns[:], z[:], k[:]))
		}
	}
}

// finds tells whether a text is in any block, under any key.
func (x *thief) finds(text []byte) bool {
	for _, b := range x.blocks {
		if bytes.Contains(b.raw, text) {
			return true
		}
		if len(b.raw) < hypercrypto.EncryptionPadding {
			continue
		}
		nonce := make([]byte, 24)
		binary.LittleEndian.PutUint64(nonce, b.index)
		copy(nonce[8:], b.raw[:hypercrypto.EncryptionPadding])
		plain := make([]byte, len(b.raw)-hypercrypto.EncryptionPadding)
		for i := range x.keys {
			salsa20.XORKeyStream(plain, b.raw[hypercrypto.EncryptionPadding:], nonce, &x.keys[i])
			if bytes.Contains(plain, text) {
				return true
			}
		}
	}
	return false
}

func TestWhoIsRemovedReadsNothingNew(t *testing.T) {
	for _, forked := range []bool{false, true} {
		t.Run(fmt.Sprint("forked ", forked), func(t *testing.T) {
			ctx := context.Background()
			rest := newRing(1, 2)
			p := newRingPeers(t, rest, newRing(1), rest, rest)
			key := p.bases[0].Key()
			p.append(0, opEpoch(1))
			p.append(0, opAdd(p.bases[1].LocalKey(), false), opAdd(p.bases[2].LocalKey(), true))
			p.sync()
			p.append(1, opLog("text from before"), opPut("name from before", "value from before"))
			p.settle(3)
			blobs, err := p.stores[0].Get(ctx, corestore.GetOptions{Name: "blobs"})
			if err != nil {
				t.Fatal(err)
			}
			blobKey := blobs.Key()
			blobs.Close()
			blobs, err = p.stores[0].Get(ctx, corestore.GetOptions{Name: "blobs",
				Encryption: hypercrypto.RingEncryption(testSecret, blobKey, rest, p.bases[0].KeyEpoch)})
			if err != nil {
				t.Fatal(err)
			}
			defer blobs.Close()
			if _, err := blobs.Append(ctx, []byte("blob from before")); err != nil {
				t.Fatal(err)
			}

			p.append(0, opRemove(p.bases[1].LocalKey()), opEpoch(2))
			p.settle(3)
			if forked {
				s := p.bases[0].Status()
				p.append(2, opFork(s.System, s.Confirmed, p.bases[2].LocalKey(), p.bases[0].LocalKey()))
				p.settle(3)
				if f := p.bases[0].Status(); f.System == s.System {
					t.Fatal("not forked")
				}
			}
			late := p.bases[3].LocalKey()
			p.append(0, opAdd(late, false))
			p.settle(3)
			p.append(0, opLog("text from after"), opPut("name from after", "value from after"))
			p.sync()
			p.append(3, opLog("late text"), opPut("late name", "late value"))
			p.settle(3)
			if _, err := blobs.Append(ctx, []byte("blob from after")); err != nil {
				t.Fatal(err)
			}
			s := p.bases[0].Status()
			if !viewsSigned(s) || p.apps[3].log.Length() != 3 {
				t.Fatalf("not all is signed: %+v", s)
			}
			// The one who was removed mirrors everything and sees nothing of it.
			if n := p.apps[1].log.Length(); n != 1 || p.bases[1].Err() != nil {
				t.Fatalf("%d blocks at the one who was removed, %v", n, p.bases[1].Err())
			}
			var logs []hypercrypto.Key
			for _, b := range p.bases {
				logs = append(logs, b.LocalKey())
			}
			logs = append(logs, blobKey)
			before := [][]byte{[]byte("text from before"), []byte("name from before"), []byte("value from before"), []byte("blob from before")}
			after := [][]byte{[]byte("text from after"), []byte("name from after"), []byte("value from after"), []byte("blob from after"),
				[]byte("late text"), []byte("late name"), []byte("late value"), late[:]}
			x := rob(t, p.stores...)
			x.derive(key, logs, newRing(1).all())
			for _, text := range before {
				if !x.finds(text) {
					t.Errorf("%q is not found with its keys", text)
				}
			}
			for _, text := range after {
				if x.finds(text) {
					t.Errorf("%q is readable without its key", text)
				}
			}
			member := rob(t, p.stores...)
			member.derive(key, logs, rest.all())
			for _, text := range append(before, after...) {
				if !member.finds(text) {
					t.Errorf("%q is not found with all keys", text)
				}
			}
			mirror := rob(t, p.stores...)
			for _, text := range append(before, after...) {
				if mirror.finds(text) {
					t.Errorf("%q is readable without any key", text)
				}
			}
		})
	}
}

// The format of forks gives the views away to those who have the key of the base
// and nothing else. With a ring it does not, also in epoch 0.
func TestAForkGivesNothingAwayWithARing(t *testing.T) {
	for _, keys := range []hypercrypto.KeyRing{nil, newRing()} {
		p := newPeers(t, 2, Options{EncryptionKey: &testSecret, Keys: keys})
		p.append(0, opAdd(p.bases[1].LocalKey(), true), opLog("x"), opPut("a", "b"))
		p.settle(3)
		s := p.bases[0].Status()
		p.append(0, opFork(s.System, s.Confirmed, p.bases[0].LocalKey()))
		p.append(0, opLog("text from after"))
		p.settle(3)
		if f := p.agree("fork"); f.System == s.System || !viewsSigned(f) {
			t.Fatalf("not forked: %+v", f)
		}
		x := rob(t, p.stores...)
		for _, b := range x.blocks {
			if e, err := decodeDescriptor(b.raw); err == nil {
				k := p.bases[0].Key()
				x.keys = append(x.keys, hypercrypto.Sum(nsBlockKey[:], k[:], e[:], []byte("log")))
			}
		}
		if found := x.finds([]byte("text from after")); found != (keys == nil) {
			t.Errorf("with a ring %v: found %v", keys != nil, found)
		}
	}
}
