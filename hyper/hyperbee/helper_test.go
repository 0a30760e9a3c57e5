package hyperbee_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// primaryKey is the secret of the store that the vectors were made in.
var primaryKey = [32]byte(bytes.Repeat([]byte{7}, 32))

func newStore(t testing.TB) *corestore.Store {
	t.Helper()
	s, err := corestore.Open(t.Context(), "store", &corestore.Options{
		PrimaryKey: &primaryKey,
		Relaxed:    true,
		Storage:    &storage.Options{FS: vfs.NewMem()},
	})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// namedCore returns a core of a new store.
func namedCore(t testing.TB, name string, encryptionKey *hypercrypto.EncryptionKey) *hypercore.Core {
	t.Helper()
	c, err := newStore(t).Get(context.Background(), corestore.GetOptions{Name: name, EncryptionKey: encryptionKey})
	check(t, err)
	return c
}

// newCore returns an empty writable core.
func newCore(t testing.TB) *hypercore.Core {
	t.Helper()
	return namedCore(t, "test", nil)
}

func newTree(t testing.TB, opts *hyperbee.Options) *hyperbee.Tree {
	t.Helper()
	return treeOn(t, newCore(t), opts)
}

func treeOn(t testing.TB, core *hypercore.Core, opts *hyperbee.Options) *hyperbee.Tree {
	t.Helper()
	tree := hyperbee.New(core, opts)
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func vectors(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, tree *hyperbee.Tree, key, value string) {
	t.Helper()
	check(t, tree.Put(t.Context(), []byte(key), []byte(value), nil))
}

// blocks returns the blocks of the core as hex.
func blocks(t testing.TB, core *hypercore.Core) (out []string) {
	t.Helper()
	for i := range core.Length() {
		b, err := core.GetLocal(i)
		check(t, err)
		out = append(out, hex.EncodeToString(b))
	}
	return out
}

func appendHex(t testing.TB, core *hypercore.Core, blocks []string) {
	t.Helper()
	var raw [][]byte
	for _, s := range blocks {
		b, err := hex.DecodeString(s)
		check(t, err)
		raw = append(raw, b)
	}
	_, err := core.Append(t.Context(), raw...)
	check(t, err)
}

// xorshift is the generator of the operation logs in the vectors.
type xorshift uint32

func (x *xorshift) next() uint32 {
	*x ^= *x << 13
	*x ^= *x >> 17
	*x ^= *x << 5
	return uint32(*x)
}

type op struct {
	del        bool
	key, value string
}

// opLog makes the operations that struct-bee-ops.json describes.
func opLog(seed uint32, count, space int) []op {
	r := xorshift(seed)
	var ops []op
	for i := range count {
		a := r.next()
		o := op{key: fmt.Sprintf("k%05d", r.next()%uint32(space))}
		if a%4 == 3 {
			o.del = true
		} else {
			pad := r.next() % 40
			o.value = fmt.Sprintf("v%d-%s", i, bytes.Repeat([]byte("x"), int(pad)))
		}
		ops = append(ops, o)
	}
	return ops
}

type writer interface {
	Put(ctx context.Context, key, value []byte, opts *hyperbee.PutOptions) error
	Del(ctx context.Context, key []byte, opts *hyperbee.DelOptions) error
}

func (o op) apply(ctx context.Context, w writer) error {
	if o.del {
		return w.Del(ctx, []byte(o.key), nil)
	}
	return w.Put(ctx, []byte(o.key), []byte(o.value), nil)
}

// replay applies operations one by one or in batches.
func replay(t testing.TB, tree *hyperbee.Tree, ops []op, batch int) {
	t.Helper()
	if batch == 0 {
		for _, o := range ops {
			check(t, o.apply(t.Context(), tree))
		}
		return
	}
	for len(ops) > 0 {
		b := tree.Batch()
		n := min(batch, len(ops))
		for _, o := range ops[:n] {
			check(t, o.apply(t.Context(), b))
		}
		check(t, b.Flush(t.Context()))
		ops = ops[n:]
	}
}

func entries(t testing.TB, tree *hyperbee.Tree, r hyperbee.Range) (out []hyperbee.Entry) {
	t.Helper()
	for e, err := range tree.Entries(t.Context(), r) {
		check(t, err)
		out = append(out, e)
	}
	return out
}
