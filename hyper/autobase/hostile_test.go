package autobase

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/autobase/liar"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// FuzzHostileLog has a member, an indexer or a stranger write whatever it likes.
// The base goes on, and is the same after a restart.
func FuzzHostileLog(f *testing.F) {
	f.Add([]byte{0, 3, 1, 2})
	f.Add([]byte("1the quick brown fox jumps over the lazy dog, again and again and again"))
	f.Add([]byte{2, 9, 9, 0, 1, 3, 3, 3, 3, 1, 1, 1, 200, 7, 7, 7, 7, 7, 7, 7, 1, 1, 1, 1, 1, 1, 5, 5, 5, 5, 5, 5})
	f.Fuzz(func(t *testing.T, in []byte) {
		ctx := context.Background()
		mem := vfs.NewMem()
		key := hypercrypto.KeyPairFromSeed([32]byte{7})
		s := liar.Script(in)
		role := s.Next(3)
		app := &testApp{}
		open := func() (*corestore.Store, *Base, *hypercore.Core) {
			t.Helper()
			store, err := corestore.Open(ctx, "store", &corestore.Options{PrimaryKey: &[32]byte{1}, Relaxed: true,
				Storage: &storage.Options{FS: mem, CacheSize: 1 << 20, MemTableSize: 512 << 10, PageCacheSize: 1 << 20}})
			if err != nil {
				t.Fatal(err)
			}
			evil, err := store.Get(ctx, corestore.GetOptions{KeyPair: key})
			if err != nil {
				t.Fatal(err)
			}
			*app = testApp{}
			b, err := Open(ctx, store, nil, app.handlers(), &Options{AckInterval: -1, NoForward: true, Optimistic: true})
			if err != nil {
				t.Fatal(err)
			}
			return store, b, evil
		}
		store, b, evil := open()
		defer func() { b.Close(); store.Close() }()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		write := func(values ...[]byte) {
			t.Helper()
			_, err := b.Append(ctx, values...)
			must(err)
		}
		write(opLog("one"), opLog("two"))
		if role > 0 {
			write(opAdd(evil.Key(), role == 2))
		}
		l := liar.Log{Script: s, Own: evil.Key(), Keys: []hypercrypto.Key{b.Key()}, Value: func(n int) []byte {
			switch n % 4 {
			case 0:
				return opAdd(hypercrypto.Key{byte(n), 2}, n%8 == 0)
			case 1:
				return opJSON(testOp{Ack: true})
			case 2:
				return opLog("evil %d", n)
			}
			return []byte{byte(n)}
		}}
		for n := 0; l.More() && n < 24; n++ {
			_, err := evil.Append(ctx, l.Block(evil.Length()+1))
			must(err)
			if l.Next(3) == 0 {
				must(b.Hint(ctx, evil.Key(), evil.Length()))
				_, err = b.Update(ctx)
				must(err)
				write(opLog("between %d", n))
			}
		}
		_, err := b.Update(ctx)
		must(err)
		write(opLog("last"))
		if err := b.Check(ctx, new(testApp).handlers()); err != nil {
			t.Fatal(err)
		}
		before, length := b.Status(), app.log.Length()
		b.Close()
		store.Close()
		store, b, evil = open()
		must(b.Hint(ctx, evil.Key(), evil.Length()))
		_, err = b.Update(ctx)
		must(err)
		if after := b.Status(); after.Hash != before.Hash || app.log.Length() != length {
			t.Fatalf("after a restart: %+v, before: %+v", after, before)
		}
		write(opLog("after the restart"))
	})
}
