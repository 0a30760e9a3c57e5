package hypercore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/storage"
)

func openDB(t testing.TB) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}

func openCore(t testing.TB, db *storage.DB, o *Options) *Core {
	t.Helper()
	c, err := Open(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close log: %v", err)
		}
	})
	return c
}

// testBlock is block i of the common test log.
func testBlock(i int) []byte {
	b := []byte(fmt.Sprintf("block-%d|", i))
	return append(b, bytes.Repeat([]byte{byte(i % 251)}, i*7%23)...)
}

func testBlocks(from, to int) [][]byte {
	var list [][]byte
	for i := from; i < to; i++ {
		list = append(list, testBlock(i))
	}
	return list
}

func seeded(b byte) *hypercrypto.KeyPair {
	return hypercrypto.KeyPairFromSeed([32]byte(bytes.Repeat([]byte{b}, 32)))
}

func mustAppend(t testing.TB, c *Core, blocks ...[]byte) {
	t.Helper()
	if _, err := c.Append(t.Context(), blocks...); err != nil {
		t.Fatal(err)
	}
}

// link is a connection between two sides.
type link struct {
	a, b *protomux.Mux
	stop func()
}

// connect joins two sides by a secret stream over TCP and runs both loops.
func connect(t testing.TB) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type result struct {
		c   *secretstream.Conn
		err error
	}
	server := make(chan result, 1)
	go func() {
		s, err := ln.Accept()
		if err != nil {
			server <- result{nil, err}
			return
		}
		c, err := secretstream.Server(t.Context(), s, nil)
		server <- result{c, err}
	}()
	s, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := secretstream.Client(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := <-server
	if r.err != nil {
		t.Fatal(r.err)
	}
	l := &link{a: protomux.New(client, nil), b: protomux.New(r.c, nil)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	for _, m := range []*protomux.Mux{l.a, l.b} {
		go func() {
			_ = m.Run(ctx) // ends with the test
			done <- struct{}{}
		}()
	}
	l.stop = func() {
		cancel()
		l.a.Close()
		l.b.Close()
		<-done
		<-done
		l.stop = func() {}
	}
	t.Cleanup(func() { l.stop() })
	return l
}

func replicate(t testing.TB, a, b *Core) *link {
	t.Helper()
	l := connect(t)
	if err := a.Replicate(l.a); err != nil {
		t.Fatal(err)
	}
	if err := b.Replicate(l.b); err != nil {
		t.Fatal(err)
	}
	return l
}

func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAppendAndGet(t *testing.T) {
	c := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, c, testBlocks(0, 20)...)
	for i := range 20 {
		b, err := c.Get(t.Context(), uint64(i))
		if err != nil || !bytes.Equal(b, testBlock(i)) {
			t.Fatalf("block %d: %q, %v", i, b, err)
		}
	}
	if got := c.Key().Hex(); got != "d8c3a0597903b28d751c6e0b7107775e388ec5a3"+got[40:] {
		t.Errorf("key %s", got)
	}
}

func TestReaderFollowsWriter(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 100)...)
	key := w.Key()
	r := openCore(t, openDB(t), &Options{Key: &key})
	replicate(t, w, r)
	ctx := timeout(t)
	b, err := r.Get(ctx, 42)
	if err != nil || !bytes.Equal(b, testBlock(42)) {
		t.Fatalf("block 42: %q, %v", b, err)
	}
	if r.TreeHash() != w.TreeHash() {
		t.Error("tree hashes differ")
	}
	if err := r.Download(Range{}).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, w, testBlocks(100, 150)...)
	if b, err = r.Get(ctx, 149); err != nil || !bytes.Equal(b, testBlock(149)) {
		t.Fatalf("block 149: %q, %v", b, err)
	}
	if err := w.Truncate(ctx, 50, nil); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, w, []byte("new 50"))
	settled(t, r, w)
	if b, err = r.Get(ctx, 50); err != nil || string(b) != "new 50" {
		t.Fatalf("block 50: %q, %v", b, err)
	}
}
