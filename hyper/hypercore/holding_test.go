package hypercore

import (
	"context"
	"errors"
	"testing"
	"time"
)

// partial returns a writer of 40 blocks and the peer that speaks for a reader of it, which
// holds blocks 5 to 9 and 20.
func partial(t *testing.T) (w, r *Core, p *Peer) {
	t.Helper()
	w = openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 40)...)
	r = reader(t, w, nil)
	first := replicate(t, w, r)
	if err := r.Download(Range{Blocks: []uint64{5, 6, 7, 8, 20}}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	// What it has not published it does not tell.
	wait(t, "publication", func() bool { return r.PublishedLength() == 40 })
	first.stop()
	for ctx := timeout(t); len(r.Peers())+len(w.Peers()) > 0 && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	replicate(t, w, r)
	for ctx := timeout(t); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if list := w.Peers(); len(list) == 1 {
			return w, r, list[0]
		}
	}
	t.Fatal("not connected")
	return nil, nil, nil
}

func TestAPeerThatIsAskedSaysWhatItHolds(t *testing.T) {
	w, r, p := partial(t)
	if err := p.Ask(timeout(t), 0, 40); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ start, end, want uint64 }{{0, 40, 5}, {0, 5, 0}, {5, 9, 4}, {6, 21, 4}, {20, 21, 1}, {21, 40, 0}, {9, 9, 0}, {9, 5, 0}, {30, 1 << 50, 0}} {
		if got := p.Holds(c.start, c.end); got != c.want {
			t.Errorf("it holds %d of %d to %d, not %d", got, c.start, c.end, c.want)
		}
	}
	if i, ok := p.NextHeld(9); !ok || i != 20 {
		t.Errorf("after 9 it holds %d, %v", i, ok)
	}
	if i, ok := p.NextHeld(21); ok {
		t.Errorf("it holds %d", i)
	}
	holds := func() uint64 {
		if err := p.Ask(timeout(t), 0, 40); err != nil {
			t.Fatal(err)
		}
		return p.Holds(0, 40)
	}
	// What it drops it tells by itself, and all else when it is asked again.
	if err := r.Clear(t.Context(), 5, 6); err != nil {
		t.Fatal(err)
	}
	wait(t, "less", func() bool { return p.Holds(0, 40) == 4 })
	if err := r.Download(Range{Start: 30, End: 33}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, "more", func() bool { return holds() == 7 })
	if err := r.Download(Range{End: 40}).Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, "all", func() bool { return p.Holds(0, 40) == 40 })
	mustAppend(t, w, testBlocks(40, 1)...)
	if got := p.Holds(0, 41); got > 41 {
		t.Errorf("it holds %d of 41", got)
	}
	if err := p.Ask(timeout(t), 0, 41); err != nil {
		t.Error(err)
	}
}

func TestAskingAPeerThatIsSilentOrGoneEnds(t *testing.T) {
	w, _, p := partial(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Ask(ctx, 0, 40); !errors.Is(err, context.Canceled) {
		// It was quick enough.
		if err != nil || p.Holds(0, 40) != 5 {
			t.Error(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Ask(timeout(t), 0, 40); !errors.Is(err, ErrClosed) {
		t.Errorf("asked a log that is closed: %v", err)
	}
	if p.Holds(0, 40) != 0 || p.Has(5) {
		t.Error("it still holds something")
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for ctx := timeout(t); !ok(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("%s: it does not come", what)
		}
	}
}
