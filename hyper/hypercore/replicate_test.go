package hypercore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// settled waits until a reader has the state of a writer.
func settled(t testing.TB, r, w *Core) {
	t.Helper()
	ctx := timeout(t)
	for {
		h := r.log.state()
		if h.Length == w.Length() && h.Fork == w.Fork() {
			if r.TreeHash() != w.TreeHash() {
				t.Fatal("same length and fork, but other content")
			}
			return
		}
		if err := r.waitGrowth(ctx, h.Length, h.Fork); err != nil {
			r.log.repl.mu.Lock()
			reorg := r.log.repl.reorg
			r.log.repl.mu.Unlock()
			for _, p := range r.Peers() {
				t.Logf("peer %+v", p.Stats())
			}
			t.Fatalf("stuck at %d blocks of fork %d, writer at %d of %d, reorg %+v: %v", h.Length, h.Fork, w.Length(), w.Fork(), reorg, err)
		}
	}
}

func reader(t testing.TB, w *Core, o *Options) *Core {
	t.Helper()
	var c Options
	if o != nil {
		c = *o
	}
	key := w.Key()
	c.Key = &key
	return openCore(t, openDB(t), &c)
}

func TestSparsePeerInTheMiddle(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 1000)...)
	mid, end := reader(t, w, nil), reader(t, w, nil)
	first := replicate(t, w, mid)
	ctx := timeout(t)
	for _, i := range []uint64{3, 500, 501, 999} {
		if _, err := mid.Get(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	first.stop()
	replicate(t, mid, end)
	for _, i := range []uint64{501, 3, 999} {
		if b, err := end.Get(ctx, i); err != nil || !bytes.Equal(b, testBlock(int(i))) {
			t.Fatalf("block %d: %q, %v", i, b, err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := end.Get(short, 4); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a block that nobody has: %v", err)
	}
}

func TestSeveralPeersShareTheWork(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	var blocks [][]byte
	for i := range 400 {
		blocks = append(blocks, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 8<<10))
	}
	mustAppend(t, w, blocks...)
	second := reader(t, w, nil)
	replicate(t, w, second)
	ctx := timeout(t)
	if err := second.Download(Range{}).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	r := reader(t, w, &Options{MaxInflight: 8})
	replicate(t, w, r)
	replicate(t, second, r)
	settled(t, r, w)
	wait(t, "two peers with all blocks", func() bool {
		n := 0
		for _, p := range r.Peers() {
			if s := p.Stats(); s.RemoteLength == 400 && s.RemoteContiguousLength == 400 {
				n++
			}
		}
		return n == 2
	})
	if err := r.Download(Range{}).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if r.ContiguousLength() != 400 || r.TreeHash() != w.TreeHash() {
		t.Errorf("%+v", r.Info())
	}
	// Whoever was asked answers, also if the blocks came from elsewhere in the meantime.
	wait(t, "answers of both peers", func() bool {
		for _, p := range r.Peers() {
			if s := p.Stats(); s.BlocksDownloaded+s.BlocksUnused == 0 {
				return false
			}
		}
		return true
	})
	checkCounters(t, r, 400, 16<<10)
}

// checkCounters checks that n blocks of a size counted once each, however often
// they travelled, and that the peers' counters add up to the log's as soon as
// nothing is on its way any more.
func checkCounters(t *testing.T, r *Core, n, size uint64) {
	t.Helper()
	i := r.Info()
	if i.BlocksDownloaded != n || i.BytesDownloaded != n*size {
		t.Errorf("%d blocks, %d bytes", i.BlocksDownloaded, i.BytesDownloaded)
	}
	wait(t, "counters that agree", func() bool {
		var sum PeerStats
		for _, p := range r.Peers() {
			s := p.Stats()
			sum.BlocksDownloaded += s.BlocksDownloaded
			sum.BytesDownloaded += s.BytesDownloaded
			sum.BlocksUnused += s.BlocksUnused
			sum.BytesUnused += s.BytesUnused
		}
		i := r.Info()
		return sum.BlocksDownloaded == n && sum.BytesDownloaded == n*size && sum.BlocksUnused == i.BlocksUnused && sum.BytesUnused == i.BytesUnused
	})
}

func TestCutConnectionsAreTakenUp(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	var blocks [][]byte
	for i := range 300 {
		blocks = append(blocks, bytes.Repeat([]byte{byte(i)}, 4<<10))
	}
	mustAppend(t, w, blocks...)
	r := reader(t, w, &Options{MaxInflight: 4})
	d := r.Download(Range{Linear: true})
	for r.ContiguousLength() < 300 {
		before := r.ContiguousLength()
		arrived := make(chan struct{}, 1)
		cancel := r.Events(func(e Event) {
			if e.Type == EventDownload && r.ContiguousLength() > min(before+40, 299) {
				select {
				case arrived <- struct{}{}:
				default:
				}
			}
		})
		l := replicate(t, w, r)
		select {
		case <-arrived:
		case <-d.Done():
		case <-timeout(t).Done():
			t.Fatal("stuck")
		}
		cancel()
		l.stop()
	}
	if err := d.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
}

func TestForksUnderLoad(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	r, relay := reader(t, w, nil), reader(t, w, nil)
	replicate(t, w, relay)
	replicate(t, relay, r)
	r.Download(Range{Live: true})
	relay.Download(Range{Live: true})
	n := 0
	for i := range 60 {
		if i%3 == 2 {
			if err := w.Truncate(t.Context(), w.Length()*uint64(i%7)/7, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 1 + i%5 {
			mustAppend(t, w, []byte(fmt.Sprintf("%d at %d", n, w.Length())))
			n++
		}
	}
	settled(t, relay, w)
	settled(t, r, w)
	ctx := timeout(t)
	for i := range w.Length() {
		a, err := w.Get(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Get(ctx, i)
		if err != nil || !bytes.Equal(a, b) {
			t.Fatalf("block %d: %q, not %q: %v", i, b, a, err)
		}
	}
}

func TestConflictFreezesTheLog(t *testing.T) {
	a := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	b := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, a, []byte("same"), []byte("one"), []byte("three"))
	mustAppend(t, b, []byte("same"), []byte("two"), []byte("four"), []byte("five"))
	r := reader(t, a, nil)
	l := replicate(t, a, r)
	if _, err := r.Get(timeout(t), 0); err != nil {
		t.Fatal(err)
	}
	l.stop()
	frozen := make(chan Event, 1)
	r.Events(func(e Event) {
		if e.Type == EventConflict {
			frozen <- e
		}
	})
	replicate(t, b, r)
	select {
	case e := <-frozen:
		if !errors.Is(e.Err, ErrConflict) {
			t.Error(e.Err)
		}
	case <-timeout(t).Done():
		t.Fatal("the conflict was not found")
	}
	if _, err := r.Get(timeout(t), 3); !errors.Is(err, ErrConflict) {
		t.Errorf("read of a frozen log: %v", err)
	}
	e, err := r.Evidence()
	if err != nil || e == nil {
		t.Fatal(err)
	}
	if err := VerifyEvidence(r.Key(), r.Manifest(), e); err != nil {
		t.Errorf("evidence: %v", err)
	}
}

func TestPushAndExtension(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 5)...)
	r := reader(t, w, &Options{AllowPush: true})
	arrived := make(chan uint64, 16)
	r.Events(func(e Event) {
		if e.Type == EventDownload {
			arrived <- e.Index
		}
	})
	ready := make(chan struct{})
	words := make(chan string, 4)
	w.RegisterExtension("greet", func(p *Peer, b []byte) { words <- string(b) })
	ext := r.RegisterExtension("greet", func(p *Peer, b []byte) {})
	w.Events(func(e Event) {
		if e.Type == EventPeerAdd {
			close(ready)
		}
	})
	replicate(t, w, r)
	<-ready
	settled(t, r, w)
	ext.Broadcast([]byte("hello"))
	ext.Broadcast([]byte("again"))
	if a, b := <-words, <-words; a != "hello" || b != "again" {
		t.Errorf("%q %q", a, b)
	}
	// The writer has to have heard that pushing is allowed.
	wait(t, "leave to push", func() bool {
		n, err := w.Push(3)
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	if i := <-arrived; i != 3 {
		t.Errorf("block %d", i)
	}
	if b, err := r.GetLocal(3); err != nil || !bytes.Equal(b, testBlock(3)) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestUpdate(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 5)...)
	r := reader(t, w, &Options{NoEagerUpgrade: true})
	if changed, err := r.Update(t.Context()); changed || err != nil {
		t.Errorf("update without peers: %v, %v", changed, err)
	}
	done := r.FindingPeers()
	result := make(chan bool, 1)
	go func() {
		changed, err := r.Update(timeout(t))
		if err != nil {
			t.Error(err)
		}
		result <- changed
	}()
	replicate(t, w, r)
	if !<-result || r.Length() != 5 {
		t.Errorf("update brought %d blocks", r.Length())
	}
	done()
	done()
	if changed, err := r.Update(timeout(t)); changed || err != nil {
		t.Errorf("update with nothing new: %v, %v", changed, err)
	}
	if changed, err := w.Update(t.Context()); changed || err != nil {
		t.Errorf("update of a writer: %v, %v", changed, err)
	}
}

func TestRelaxedHeadsArePublishedWhenDurable(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1), Relaxed: true})
	mustAppend(t, w, testBlocks(0, 5)...)
	if n := w.log.public().Length; n != 0 {
		t.Errorf("%d blocks are public though nobody synced", n)
	}
	r := reader(t, w, nil)
	replicate(t, w, r)
	if b, err := r.Get(timeout(t), 4); err != nil || !bytes.Equal(b, testBlock(4)) {
		t.Fatalf("%q, %v", b, err)
	}
	for i := 5; i < 200; i++ {
		mustAppend(t, w, testBlock(i))
	}
	if b, err := r.Get(timeout(t), 199); err != nil || !bytes.Equal(b, testBlock(199)) {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestLyingPeerIsPausedAndOthersServe(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 50)...)
	r := reader(t, w, nil)
	good := replicate(t, w, r)
	settled(t, r, w)
	good.stop()

	l := connect(t)
	errs := make(chan error, 4)
	r.Events(func(e Event) {
		if e.Type == EventVerificationError {
			errs <- e.Err
		}
	})
	liar := newFakePeer(t, l.a, w)
	liar.answer = func(q *wire.Request) *wire.Data {
		if q.Block == nil {
			return nil
		}
		h := w.log.state()
		proof, err := h.Tree.Prove(w.log, &q.Request, 0)
		if err != nil {
			return nil
		}
		proof.Block.Value = []byte("not what was signed")
		return &wire.Data{Request: q.ID, Proof: *proof}
	}
	if err := r.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	ctx := timeout(t)
	got := make(chan error, 1)
	go func() {
		b, err := r.Get(ctx, 7)
		if err == nil && !bytes.Equal(b, testBlock(7)) {
			err = fmt.Errorf("got %q", b)
		}
		got <- err
	}()
	select {
	case err := <-errs:
		if !errors.Is(err, merkle.ErrChecksum) {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("the lie was not noticed")
	}
	replicate(t, w, r)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestSilentPeerIsGivenUp(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 50)...)
	r := reader(t, w, &Options{RequestTimeout: 20 * time.Millisecond})
	good := replicate(t, w, r)
	settled(t, r, w)
	good.stop()
	l := connect(t)
	newFakePeer(t, l.a, w)
	if err := r.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := r.Get(timeout(t), 7)
		got <- err
	}()
	replicate(t, w, r)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestWrongKeyEndsTheConnection(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 5)...)
	l := connect(t)
	p := newFakePeer(t, l.a, w)
	_ = p
	other := hypercrypto.Key{9}
	f := &fakePeer{t: t, core: w, key: other}
	m := connect(t)
	f.open(m.a)
	if err := w.Replicate(m.b); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.closed:
	case <-timeout(t).Done():
		t.Fatal("a peer that does not know the key was let in")
	}
}
