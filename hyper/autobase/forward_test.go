package autobase

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// connect lets two bases talk until the test ends, or the result is called.
func connect(t *testing.T, a, b *Base) (cut func()) {
	ctx, cancel := context.WithCancel(context.Background())
	near, far := net.Pipe()
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if c, err := secretstream.Client(ctx, near, nil); err == nil {
			a.Replicate(ctx, c)
		}
	})
	tasks.Go(func() {
		if c, err := secretstream.Server(ctx, far, nil); err == nil {
			b.Replicate(ctx, c)
		}
	})
	cut = func() {
		cancel()
		near.Close()
		far.Close()
		tasks.Wait()
	}
	t.Cleanup(cut)
	return cut
}

func TestANewReaderDoesNotFetchWhatItJumpsOver(t *testing.T) {
	const nodes = 5000
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := newPeers(t, 1, Options{})
	for n := 0; n < nodes; n += 5 {
		p.append(0, opLog("entry %d", n), opLog("entry %d", n+1), opLog("entry %d", n+2), opLog("entry %d", n+3), opLog("entry %d", n+4))
	}
	store, err := corestore.Open(ctx, t.TempDir(), &corestore.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	app, key := &testApp{}, p.bases[0].Key()
	r, err := Open(ctx, store, &key, app.handlers(), &Options{AckInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); store.Close() })
	connect(t, p.bases[0], r)
	wait := func(length uint64) {
		t.Helper()
		for at := r.Position(); app.log.Length() < length; {
			if at, err = r.WaitChange(ctx, at); err != nil {
				t.Fatalf("%d of %d blocks: %v", app.log.Length(), length, err)
			}
		}
	}
	wait(nodes)
	log, err := store.Get(ctx, corestore.GetOptions{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if held := log.Info().Held; held > nodes/2 {
		t.Fatalf("the reader has %d of %d nodes", held, nodes)
	}
	// The rest of the state comes afterwards, so that one day no peer is needed for it.
	for r.Status().Filling {
		if ctx.Err() != nil {
			t.Fatalf("the state is never complete: %+v", r.Status())
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.mu.Lock()
	for _, v := range r.e.views {
		if n := v.under.Length(); n > 0 && !v.under.Has(0, n) {
			t.Errorf("of view %q, %d of %d blocks are here", v.name, v.under.Info().Held, n)
		}
	}
	if !r.e.system.Has(0, r.e.signed) {
		t.Errorf("of the system view, %d of %d blocks are here", r.e.system.Info().Held, r.e.signed)
	}
	r.mu.Unlock()
	// From there on it fetches and loads as ever.
	for range 5 {
		p.append(0, opLog("later"))
	}
	wait(nodes + 5)
	if b, err := app.log.Get(ctx, 7); err != nil || string(b) != "entry 7" {
		t.Fatalf("block 7 of the view is %q, %v", b, err)
	}
}
