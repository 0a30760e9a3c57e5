package hypercore

import (
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// hoarder is a peer that collects requests and does not answer.
type hoarder struct {
	*fakePeer
	mu        sync.Mutex
	requests  map[uint64]*wire.Request
	cancelled map[uint64]bool
	changed   chan struct{}
}

func newHoarder(t *testing.T, m *protomux.Mux, core *Core) *hoarder {
	h := &hoarder{fakePeer: &fakePeer{t: t, core: core, key: core.Key()}, requests: make(map[uint64]*wire.Request),
		cancelled: make(map[uint64]bool), changed: make(chan struct{}, 1)}
	note := func(fn func()) {
		h.mu.Lock()
		fn()
		h.mu.Unlock()
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
	h.answer = func(q *wire.Request) *wire.Data {
		note(func() { h.requests[q.ID] = q })
		return nil
	}
	h.cancel = func(id uint64) { note(func() { h.cancelled[id] = true }) }
	h.open(m)
	return h
}

// until waits until fn, called with the lock held, is true.
func (h *hoarder) until(t *testing.T, fn func() bool) {
	t.Helper()
	ctx := timeout(t)
	for {
		h.mu.Lock()
		ok := fn()
		h.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-h.changed:
		case <-ctx.Done():
			t.Fatalf("%d requests, %d cancelled", len(h.requests), len(h.cancelled))
		}
	}
}

// hoarded returns a reader that has asked a hoarder for n blocks.
func hoarded(t *testing.T, n int) (w, r *Core, h *hoarder, d *Download) {
	w = openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, n)...)
	r = reader(t, w, nil)
	first := replicate(t, w, r)
	settled(t, r, w)
	first.stop()
	l := connect(t)
	h = newHoarder(t, l.a, w)
	if err := r.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	d = r.Download(Range{})
	h.until(t, func() bool { return len(h.requests) == n })
	return w, r, h, d
}

func TestBlocksOfASlowPeerAreTakenOverAndWithdrawn(t *testing.T) {
	w, r, h, d := hoarded(t, 60)
	replicate(t, w, r)
	if err := d.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	h.until(t, func() bool {
		for id := range h.requests {
			if !h.cancelled[id] {
				return false
			}
		}
		return true
	})
	i := r.Info()
	if i.BlocksDownloaded != 60 || i.BlocksUnused != 0 {
		t.Errorf("%d blocks, %d unused", i.BlocksDownloaded, i.BlocksUnused)
	}
}

func TestBlocksInFlightAreLeftAloneForAWhile(t *testing.T) {
	w, r, h, d := hoarded(t, 60)
	repl := r.log.repl
	r.Events(func(e Event) {
		if e.Type == EventPeerAdd {
			// As if its answers took long so far.
			repl.mu.Lock()
			e.Peer.answerTime = time.Hour
			repl.mu.Unlock()
		}
	})
	replicate(t, w, r)
	ctx := timeout(t)
	for idle := false; !idle && ctx.Err() == nil; {
		repl.mu.Lock()
		repl.pump()
		for _, p := range repl.peers {
			idle = idle || !p.stealAt.IsZero()
		}
		repl.mu.Unlock()
	}
	h.mu.Lock()
	for _, q := range h.requests {
		h.send(h.honest(q))
	}
	h.mu.Unlock()
	if err := d.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if i := w.Info(); i.BlocksUploaded != 0 || r.Info().BlocksDownloaded != 60 {
		t.Errorf("%d of %d blocks were taken over", i.BlocksUploaded, r.Info().BlocksDownloaded)
	}
}

func TestSecondAnswerInOneBatchCountsOnce(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 8)...)
	r := reader(t, w, nil)
	first := replicate(t, w, r)
	settled(t, r, w)
	first.stop()
	f := &fakePeer{t: t, core: w}
	var batch []*received
	a, b := &Peer{repl: r.log.repl}, &Peer{repl: r.log.repl}
	for _, p := range []*Peer{a, b} {
		levels, _, err := r.log.repl.levels(6, 8)
		if err != nil {
			t.Fatal(err)
		}
		q := &wire.Request{ID: 1, Request: merkle.Request{Block: &merkle.BlockRequest{Index: 3, Levels: levels}}}
		d := &received{body: copyBody(nil), Data: *f.honest(q), peer: p, shared: true}
		p.checking = 1
		batch = append(batch, d)
	}
	r.log.change.Lock()
	r.log.repl.ingestBlocks(batch)
	r.log.change.Unlock()
	i := r.Info()
	if i.BlocksDownloaded != 1 || i.BytesDownloaded != uint64(len(testBlock(3))) || i.BlocksUnused != 1 || i.BytesUnused != i.BytesDownloaded {
		t.Errorf("%+v", i)
	}
	if x, y := a.Stats(), b.Stats(); x.BlocksDownloaded != 1 || x.BlocksUnused != 0 || y.BlocksDownloaded != 0 || y.BlocksUnused != 1 {
		t.Errorf("%+v, %+v", x, y)
	}
}
