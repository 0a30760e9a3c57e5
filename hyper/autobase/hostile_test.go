package autobase

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
	"github.com/tradle/cloudpal/hyper/storage"
)

// script makes decisions out of bytes; when there are no more it decides 0.
type script struct{ b []byte }

func (s *script) more() bool { return len(s.b) > 0 }

func (s *script) next(n int) int {
	if len(s.b) == 0 {
		return 0
	}
	v := int(s.b[0])
	s.b = s.b[1:]
	return v % n
}

func (s *script) take(n int) []byte {
	n = min(n, len(s.b))
	v := s.b[:n]
	s.b = s.b[n:]
	return v
}

// lies makes blocks of a log as somebody would who wants to do harm.
type lies struct {
	script
	own   hypercrypto.Key
	keys  []hypercrypto.Key // logs that may be named
	value func(n int) []byte
}

func (l *lies) block(length uint64) []byte {
	switch l.next(12) {
	case 0:
		return l.take(l.next(64)) // anything
	case 1:
		b := l.wellFormed(length).AppendTo(nil)
		if len(b) > 0 {
			b[l.next(len(b))] ^= byte(1 + l.next(255))
		}
		return b
	}
	return l.wellFormed(length).AppendTo(nil)
}

// near returns a number around another one, seldom far away.
func (l *lies) near(n uint64) uint64 {
	switch d := l.next(8); d {
	case 0:
		return n + 1
	case 1:
		return 1 << l.next(64)
	case 2:
		return 0
	default:
		return n - min(n, uint64(d-3))
	}
}

func (l *lies) wellFormed(length uint64) *oplog.Block {
	b := &oplog.Block{Batch: 1}
	if l.next(4) == 0 {
		b.Batch = l.near(3)
	}
	for range l.next(4) {
		k := l.own
		if n := l.next(len(l.keys) + 2); n < len(l.keys) {
			k = l.keys[n]
		} else if n == len(l.keys) {
			k = hypercrypto.Key{byte(l.next(4)), 1}
		}
		b.Heads = append(b.Heads, oplog.Ref{Key: k, Length: l.near(min(length, 3))})
	}
	if l.next(4) > 0 {
		b.Value = l.value(l.next(1 << 8))
	}
	b.Optimistic = l.next(6) == 0
	if l.next(3) == 0 {
		b.Digest = &oplog.Digest{Pointer: l.near(length)}
		if b.Digest.Pointer == 0 {
			b.Digest.Key = l.own
		}
	}
	if l.next(3) == 0 {
		mark := func() oplog.Signed {
			s := oplog.Signed{Pointer: l.near(length)}
			if s.Pointer == 0 {
				s.Length = l.near(20)
				copy(s.Signature[:], l.take(64))
			}
			return s
		}
		system, encryption := mark(), mark()
		b.Checkpoint = &oplog.Checkpoint{System: &system, Encryption: &encryption}
		for range l.next(4) {
			b.Checkpoint.User = append(b.Checkpoint.User, mark())
		}
	}
	return b
}

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
		s := &script{in}
		role := s.next(3)
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
		l := lies{script: *s, own: evil.Key(), keys: []hypercrypto.Key{b.Key()}, value: func(n int) []byte {
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
		for n := 0; l.more() && n < 24; n++ {
			_, err := evil.Append(ctx, l.block(evil.Length()+1))
			must(err)
			if l.next(3) == 0 {
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
