package hypercore

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

func TestBranchesOutliveTheProcessAndCanBeDeleted(t *testing.T) {
	dir := t.TempDir()
	db, err := storage.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), db, &Options{KeyPair: seeded(1)})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c, testBlocks(0, 10)...)
	at := uint64(6)
	b, err := c.Branch(t.Context(), "draft", &BranchOptions{At: &at})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, b, []byte("six"), []byte("seven"))
	hash := b.TreeHash()
	for _, closer := range []interface{ Close() error }{b, c, db} {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}

	if db, err = storage.Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c = openCore(t, db, &Options{KeyPair: seeded(1)})
	if b, err = c.Branch(t.Context(), "draft", nil); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Length() != 8 || b.TreeHash() != hash {
		t.Errorf("the branch has %d blocks", b.Length())
	}
	if got, err := b.Get(t.Context(), 7); err != nil || string(got) != "seven" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := b.Get(t.Context(), 2); err != nil || !bytes.Equal(got, testBlock(2)) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.Get(t.Context(), 8); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("beyond the branch: %v", err)
	}
	if err := c.DeleteBranch(t.Context(), "draft"); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteBranch(t.Context(), "draft"); err != nil {
		t.Errorf("second time: %v", err)
	}
	if _, err := b.Append(t.Context(), []byte("late")); err == nil {
		t.Error("a deleted branch takes blocks")
	}
	if b, err := c.Branch(t.Context(), "draft", nil); err != nil || b.Length() != 10 {
		t.Errorf("made anew it starts from the log: %v", err)
	} else if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestLearnedKeyPairMakesALogWritableForGood(t *testing.T) {
	db := openDB(t)
	m := hypercrypto.DefaultManifest(seeded(1).Public)
	key := m.Key()
	c, err := Open(t.Context(), db, &Options{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if c.Writable() || c.KeyPair() != nil || c.Manifest() != nil {
		t.Error("writable without a key pair")
	}
	if _, err := c.Append(t.Context(), []byte("x")); !errors.Is(err, ErrNotWritable) {
		t.Errorf("append: %v", err)
	}
	if err := c.Adopt(seeded(1), nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c, []byte("x"))
	if err := c.Adopt(seeded(2), nil); err != nil || c.KeyPair().Public != seeded(1).Public {
		t.Errorf("another key pair took its place: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = openCore(t, db, &Options{Key: &key})
	if !c.Writable() || c.Length() != 1 || len(c.Signature()) != 68 {
		t.Errorf("writable: %v, %d blocks, signature of %d bytes", c.Writable(), c.Length(), len(c.Signature()))
	}
}

// waiting returns how many reads wait for a block.
func waiting(c *Core, i uint64) int {
	r := c.log.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.gets[i]; w != nil {
		return w.waiters
	}
	return 0
}

func TestReadThatIsGivenUpIsWithdrawn(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 20)...)
	r := reader(t, w, nil)
	first := replicate(t, w, r)
	settled(t, r, w)
	first.stop()
	l := connect(t)
	h := newHoarder(t, l.a, w)
	if err := r.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := r.Get(ctx, 7)
			got <- err
		}()
	}
	h.until(t, func() bool { return len(h.requests) == 1 })
	for limit := timeout(t); waiting(r, 7) < 2; {
		if limit.Err() != nil {
			t.Fatal("the second read does not wait")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	for range 2 {
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("read that was given up: %v", err)
		}
	}
	h.until(t, func() bool { return len(h.cancelled) == 1 })
	if n := r.Peers()[0].Stats().Inflight; n != 0 {
		t.Errorf("%d requests in flight", n)
	}
	// A handle that is closed gives up too.
	s, err := r.Session(nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := s.Get(t.Context(), 8)
		got <- err
	}()
	h.until(t, func() bool { return len(h.requests) == 2 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Errorf("read of a closed handle: %v", err)
	}
}

func TestRequestsThatTimeOutAreAskedElsewhere(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 30)...)
	r := reader(t, w, &Options{RequestTimeout: 30 * time.Millisecond})
	first := replicate(t, w, r)
	settled(t, r, w)
	first.stop()
	l := connect(t)
	h := newHoarder(t, l.a, w)
	if err := r.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	d := r.Download(Range{})
	// All are withdrawn; then the silent peer gets one at a time.
	h.until(t, func() bool { return len(h.cancelled) >= 30 })
	h.until(t, func() bool { return len(h.requests)-len(h.cancelled) <= 1 })
	h.mu.Lock()
	var last uint64
	for id := range h.requests {
		last = max(last, id)
	}
	q := h.requests[last]
	h.mu.Unlock()
	h.send(h.honest(q)) // possibly too late: then it is not used
	replicate(t, w, r)
	if err := d.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if i := r.Info(); i.BlocksDownloaded != 30 {
		t.Errorf("%+v", i)
	}
}

func TestExtensionMessagesGoToOnePeerUntilClosed(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, []byte("x"))
	r, other := reader(t, w, nil), reader(t, w, nil)
	words := make(chan string, 4)
	stray := make(chan string, 4)
	ext := r.RegisterExtension("a", func(_ *Peer, b []byte) { words <- string(b) })
	other.RegisterExtension("a", func(_ *Peer, b []byte) { stray <- string(b) })
	defer join(t, w, other)()
	settled(t, other, w)
	peer := make(chan *Peer, 1)
	w.Events(func(e Event) {
		if e.Type == EventPeerAdd {
			peer <- e.Peer
		}
	})
	defer join(t, w, r)()
	settled(t, r, w)
	p := <-peer
	mine, second := w.RegisterExtension("a", nil), w.RegisterExtension("b", func(*Peer, []byte) {})
	mine.Send(p, []byte("one"))
	second.Send(p, []byte("nobody listens"))
	mine.Send(p, []byte("two"))
	if a, b := <-words, <-words; a != "one" || b != "two" {
		t.Errorf("%q, %q", a, b)
	}
	ext.Close()
	mine.Send(p, []byte("three"))
	mustAppend(t, w, []byte("y")) // comes after the message
	settled(t, r, w)
	if len(words) != 0 || len(stray) != 0 {
		t.Error("a message went astray")
	}
}
