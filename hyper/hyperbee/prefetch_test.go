package hyperbee_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// connect replicates two stores until the test ends.
func connect(t *testing.T, a, b *corestore.Store) {
	t.Helper()
	left, right := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	for s, end := range map[*corestore.Store]struct {
		conn      net.Conn
		handshake func(context.Context, io.ReadWriteCloser, *secretstream.Options) (*secretstream.Conn, error)
	}{a: {left, secretstream.Client}, b: {right, secretstream.Server}} {
		wg.Go(func() {
			c, err := end.handshake(ctx, end.conn, nil)
			if err == nil {
				err = s.Replicate(ctx, c)
			}
			if ctx.Err() == nil {
				t.Errorf("replication ends: %v", err)
			}
		})
	}
}

// TestPeersAnnounceTheBlocksAhead reads the first entries of a remote tree: with
// the extension the peer names the blocks of the whole range, and they arrive
// without having been walked to.
func TestPeersAnnounceTheBlocksAhead(t *testing.T) {
	theirs := newStore(t)
	core, err := theirs.Get(t.Context(), corestore.GetOptions{Name: "bee"})
	check(t, err)
	w := treeOn(t, core, nil)
	const n = 1500
	b := w.Batch()
	for i := range n {
		check(t, b.Put(t.Context(), fmt.Appendf(nil, "%06d", (i*7919)%n), fmt.Appendf(nil, "value %d", i), nil))
	}
	check(t, b.Flush(t.Context()))
	key := core.Key()
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent %v", silent), func(t *testing.T) {
			mine, err := corestore.Open(t.Context(), t.TempDir(), nil)
			check(t, err)
			t.Cleanup(func() { check(t, mine.Close()) })
			connect(t, theirs, mine)
			copied, err := mine.Get(t.Context(), corestore.GetOptions{Key: &key})
			check(t, err)
			r := treeOn(t, copied, &hyperbee.Options{NoExtension: silent})
			ctx := patient(t)
			seen := 0
			for e, err := range r.Entries(ctx, hyperbee.Range{}) {
				check(t, err)
				if want := fmt.Sprintf("%06d", seen); string(e.Key) != want {
					t.Fatalf("key %q, want %q", e.Key, want)
				}
				if seen++; seen == 20 {
					break
				}
			}
			if silent {
				if held := copied.Info().Held; held > 120 {
					t.Errorf("%d blocks were fetched for 20 entries", held)
				}
				return
			}
			for copied.Info().Held < n/2 {
				if ctx.Err() != nil {
					t.Fatalf("only %d blocks came", copied.Info().Held)
				}
				time.Sleep(time.Millisecond)
			}
			// A lookup is announced too and finds the right value.
			e, found, err := r.Get(ctx, []byte("001234"))
			check(t, err)
			want, _, err := w.Get(ctx, []byte("001234"))
			check(t, err)
			if !found || string(e.Value) != string(want.Value) {
				t.Errorf("%q, not %q", e.Value, want.Value)
			}
		})
	}
}

// Several trees write at once whose blocks are elsewhere: each asks for the neighbours of
// the node that it read last, whatever the others read meanwhile.
func TestTreesThatFetchWhileTheyWriteAreApart(t *testing.T) {
	const trees, n = 4, 300
	var wg sync.WaitGroup
	for range trees {
		mine, theirs := newStore(t), newStore(t)
		core, err := mine.Get(t.Context(), corestore.GetOptions{Name: "bee"})
		check(t, err)
		w := treeOn(t, core, nil)
		b := w.Batch()
		for i := range n {
			check(t, b.Put(t.Context(), fmt.Appendf(nil, "%06d", (i*7919)%n), fmt.Appendf(nil, "value %d", i), nil))
		}
		check(t, b.Flush(t.Context()))
		key := core.Key()
		copied, err := theirs.Get(t.Context(), corestore.GetOptions{Key: &key})
		check(t, err)
		connect(t, theirs, mine)
		check(t, copied.Download(hypercore.Range{Start: 0, End: core.Length()}).Wait(patient(t)))
		check(t, core.Clear(t.Context(), 1, core.Length()-1))
		again := treeOn(t, core, nil) // what the first one read it has in memory
		wg.Go(func() {
			for i := range n / 3 {
				if err := again.Put(patient(t), fmt.Appendf(nil, "%06d", (i*7)%n), []byte("new"), nil); err != nil {
					t.Error(err)
					return
				}
			}
			if e, ok, err := again.Get(patient(t), []byte("000007")); err != nil || !ok || string(e.Value) != "new" {
				t.Errorf("%q, %v, %v", e.Value, ok, err)
			}
		})
	}
	wg.Wait()
}
