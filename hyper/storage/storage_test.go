package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

func openTest(t testing.TB, dir string, o *Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func dkOf(i int) (dk hypercrypto.DiscoveryKey) {
	copy(dk[:], fmt.Sprintf("core %d", i))
	return dk
}

func createTest(t testing.TB, db *DB, i int) *Core {
	t.Helper()
	b := db.NewBatch()
	defer b.Close()
	c, err := db.CreateCore(b, dkOf(i))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(Relaxed); err != nil {
		t.Fatal(err)
	}
	return c
}

func testBlock(i uint64, n int) []byte {
	r := rand.New(rand.NewPCG(i, uint64(n)))
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(r.Uint32())
	}
	return b
}

func testNode(x uint64) merkle.Node {
	n := merkle.Node{Index: x, Size: x*7 + 3}
	copy(n.Hash[:], testBlock(x, 32))
	return n
}

// appendNodes returns the nodes that appending block i completes.
func appendNodes(dst []merkle.Node, i uint64) []merkle.Node {
	dst = append(dst, testNode(2*i))
	for d := uint(1); (i+1)&(1<<d-1) == 0; d++ {
		o := i >> d
		dst = append(dst, testNode((2*o+1)<<d-1))
	}
	return dst
}

func TestBlocksAndNodesSurviveReopen(t *testing.T) {
	for _, size := range []int{0, 100, largeBlock, 70000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fs := vfs.NewMem()
			db := openTest(t, "s", &Options{FS: fs})
			c := createTest(t, db, 1)
			const n = 200
			for i := uint64(0); i < n; i++ {
				b := db.NewBatch()
				b.PutBlock(c, i, testBlock(i, size))
				b.PutNodes(c, appendNodes(nil, i))
				b.SetHead(c, Head{Length: i + 1, Fork: 3, ByteLength: (i + 1) * uint64(size), Signature: []byte("sig")})
				if err := b.Commit(Relaxed); err != nil {
					t.Fatal(err)
				}
				b.Close()
			}
			check := func(c *Core) {
				t.Helper()
				h := c.Head()
				if h.Length != n || h.Contiguous != n || h.Fork != 3 || string(h.Signature) != "sig" {
					t.Fatalf("head %+v", h)
				}
				for i := uint64(0); i < n; i++ {
					got, err := c.Block(i, nil)
					if err != nil || !bytes.Equal(got, testBlock(i, size)) {
						t.Fatalf("block %d: %d bytes, %v", i, len(got), err)
					}
					for _, want := range appendNodes(nil, i) {
						if n, err := c.Node(want.Index); err != nil || n != want {
							t.Fatalf("node %d: %v %v", want.Index, n, err)
						}
					}
				}
				if _, err := c.Block(n, nil); !errors.Is(err, ErrNotFound) {
					t.Fatal(err)
				}
				if !c.Has(0, n) || c.Has(0, n+1) || c.NextMissing(5) != n {
					t.Fatal("bits")
				}
			}
			check(c)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openTest(t, "s", &Options{FS: fs})
			c, err := db.Core(dkOf(1))
			if err != nil {
				t.Fatal(err)
			}
			check(c)
		})
	}
}

// checkAll runs Check and makes its problems one error. Missing roots are not
// counted: test cores have nodes at will.
func checkAll(db *DB) error {
	var errs []error
	err := db.Check(context.Background(), CheckOptions{}, func(p Problem) {
		if !strings.Contains(p.Text, "root ") {
			errs = append(errs, errors.New(p.String()))
		}
	})
	return errors.Join(append(errs, err)...)
}
