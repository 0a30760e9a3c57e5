package hypercore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// challenger returns a reader of w that holds blocks from..to, and the peer that answer
// speaks for, which says that it holds all.
func challenger(t *testing.T, o *Options, w *Core, from, to uint64, answer func(f *fakePeer, q *wire.Request) *wire.Data) (*Core, *Peer, *link) {
	t.Helper()
	r := reader(t, w, o)
	honest := replicate(t, w, r)
	if err := r.Download(Range{Start: from, End: to}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	honest.stop()
	for ctx := timeout(t); len(r.Peers()) > 0 && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	l := connect(t)
	f := newFakePeer(t, l.a, w)
	f.answer = func(q *wire.Request) *wire.Data { return answer(f, q) }
	if err := r.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	for ctx := timeout(t); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if p := r.Peers(); len(p) == 1 && p[0].Has(w.Length()-1) {
			return r, p[0], l
		}
	}
	t.Fatal("the peer does not say what it has")
	return nil, nil, nil
}

func challenged(t *testing.T) *Core {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 20)...)
	return w
}

func TestChallengeProvesBlocksThatAreHeldHereAndThatAreNot(t *testing.T) {
	w := challenged(t)
	asked := make(chan uint64, 20)
	r, p, _ := challenger(t, nil, w, 3, 9, func(f *fakePeer, q *wire.Request) *wire.Data {
		if q.Block != nil {
			asked <- q.Block.Index
		}
		return f.honest(q)
	})
	for _, i := range []uint64{3, 8, 0, 15, 19} {
		held := r.Has(i, i+1)
		if err := p.Challenge(timeout(t), i); err != nil {
			t.Errorf("block %d: %v", i, err)
		} else if got := <-asked; got != i {
			t.Errorf("asked for %d, not %d", got, i)
		}
		if r.Has(i, i+1) != held {
			t.Errorf("block %d: the log changed", i)
		}
	}
	if err := p.Challenge(timeout(t), 20); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("a block beyond the end: %v", err)
	}
	if s := p.Stats(); s.Inflight != 0 || s.Paused {
		t.Errorf("%+v", s)
	}
	// What was proven can still be fetched.
	if b, err := r.Get(timeout(t), 15); err != nil || string(b) != string(testBlock(15)) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestChallengeFindsPeersThatLie(t *testing.T) {
	w := challenged(t)
	for name, lie := range map[string]func(q *wire.Request, d *wire.Data) *wire.Data{
		"another block's value": func(_ *wire.Request, d *wire.Data) *wire.Data {
			d.Block.Value = testBlock(7)
			return d
		},
		"another block": func(_ *wire.Request, d *wire.Data) *wire.Data {
			d.Block.Index++
			return d
		},
		"no block": func(_ *wire.Request, d *wire.Data) *wire.Data {
			d.Block = nil
			return d
		},
		"another fork": func(_ *wire.Request, d *wire.Data) *wire.Data {
			d.Fork++
			return d
		},
	} {
		for _, i := range []uint64{4, 12} { // held here, and not
			_, p, _ := challenger(t, nil, w, 0, 8, func(f *fakePeer, q *wire.Request) *wire.Data {
				if q.Block == nil {
					return f.honest(q)
				}
				return lie(q, f.honest(q))
			})
			if err := p.Challenge(timeout(t), i); !errors.Is(err, ErrChallenge) {
				t.Errorf("%s for %d: %v", name, i, err)
			}
		}
	}
}

func TestChallengeOfAPeerThatSendsNothingEnds(t *testing.T) {
	w := challenged(t)
	silent := func(f *fakePeer, q *wire.Request) *wire.Data { return nil }
	_, p, _ := challenger(t, &Options{RequestTimeout: 500 * time.Millisecond}, w, 0, 20, silent)
	if err := p.Challenge(timeout(t), 5); !errors.Is(err, ErrChallenge) {
		t.Errorf("%v", err)
	}
	if s := p.Stats(); s.Inflight != 0 {
		t.Errorf("%+v", s)
	}
	_, p, _ = challenger(t, nil, w, 0, 20, silent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Challenge(ctx, 5); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrChallenge) {
		t.Errorf("%v", err)
	}
	if s := p.Stats(); s.Inflight != 0 {
		t.Errorf("%+v", s)
	}
}

func TestChallengeEndsWhenThePeerDisconnectsOrTheLogIsClosed(t *testing.T) {
	w := challenged(t)
	for name, end := range map[string]func(r *Core, l *link) error{
		"disconnected": func(_ *Core, l *link) error { l.a.Close(); return nil },
		"closed":       func(r *Core, _ *link) error { return r.Close() },
	} {
		asked := make(chan struct{}, 1)
		r, p, l := challenger(t, nil, w, 0, 20, func(*fakePeer, *wire.Request) *wire.Data {
			asked <- struct{}{}
			return nil
		})
		ended := make(chan error, 1)
		go func() { ended <- p.Challenge(timeout(t), 5) }()
		<-asked
		if err := end(r, l); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ErrChallenge) {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Challenge(timeout(t), 5); err == nil {
			t.Errorf("%s: a challenge without a peer", name)
		}
	}
}

func TestChallengeOfAPeerThatDroppedTheBlockFails(t *testing.T) {
	w := challenged(t)
	r := reader(t, w, nil)
	l := replicate(t, w, r)
	defer l.stop()
	settled(t, r, w)
	p := r.Peers()[0]
	if err := p.Challenge(timeout(t), 5); err != nil {
		t.Fatal(err)
	}
	if err := w.Clear(t.Context(), 5, 6); err != nil {
		t.Fatal(err)
	}
	if err := p.Challenge(timeout(t), 5); !errors.Is(err, ErrChallenge) {
		t.Errorf("%v", err)
	}
}
