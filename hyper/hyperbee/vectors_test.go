package hyperbee_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

type coreVector struct {
	Name          string
	Key           string
	HeadSignature string
	Length        uint64
	ByteLength    uint64
	Fork          uint64
	TreeHash      string
	Blocks        []string
	Leaves        []string
}

func (v *coreVector) check(t *testing.T, core *hypercore.Core) {
	t.Helper()
	got := blocks(t, core)
	if v.Blocks != nil {
		for i := range min(len(got), len(v.Blocks)) {
			if got[i] != v.Blocks[i] {
				t.Fatalf("block %d\n got %s\nwant %s", i, got[i], v.Blocks[i])
			}
		}
	}
	for i, leaf := range v.Leaves {
		b, err := core.GetLocal(uint64(i))
		check(t, err)
		if h := hypercrypto.LeafHash(b); hex.EncodeToString(h[:]) != leaf {
			t.Fatalf("block %d has another hash: %x", i, b)
		}
	}
	if core.Length() != v.Length || core.ByteLength() != v.ByteLength || core.Fork() != v.Fork {
		t.Errorf("length %d bytes %d fork %d, want %d %d %d", core.Length(), core.ByteLength(), core.Fork(), v.Length, v.ByteLength, v.Fork)
	}
	if h := core.TreeHash(); hex.EncodeToString(h[:]) != v.TreeHash {
		t.Errorf("tree hash %x, want %s", h, v.TreeHash)
	}
	if v.HeadSignature == "" {
		return
	}
	if key := core.Key(); hex.EncodeToString(key[:]) != v.Key {
		t.Errorf("key %x, want %s", key, v.Key)
	}
	if s := hex.EncodeToString(core.Signature()); s != v.HeadSignature {
		t.Errorf("signature %s, want %s", s, v.HeadSignature)
	}
}

type opsVector struct {
	coreVector
	Seed         uint32
	Count, Space int
	Batch        int
	LiveKeys     int
}

func TestOperationLogsGiveTheBlocksOfJavaScript(t *testing.T) {
	for _, file := range []string{"struct-bee-ops.json", "struct-bee-ops200.json"} {
		var v struct{ Cases []opsVector }
		vectors(t, file, &v)
		for _, c := range v.Cases {
			t.Run(file+"/"+c.Name, func(t *testing.T) {
				tree := treeOn(t, namedCore(t, c.Name, nil), nil)
				replay(t, tree, opLog(c.Seed, c.Count, c.Space), c.Batch)
				c.check(t, tree.Core())
				if n := len(entries(t, tree, hyperbee.Range{})); n != c.LiveKeys {
					t.Errorf("%d keys, want %d", n, c.LiveKeys)
				}
			})
		}
	}
}

// TestOperationLogsWithoutCache makes sure that the cache changes nothing.
func TestOperationLogsWithoutCache(t *testing.T) {
	var v struct{ Cases []opsVector }
	vectors(t, "struct-bee-ops.json", &v)
	for _, c := range v.Cases {
		if c.Count > 2000 {
			continue
		}
		tree := treeOn(t, namedCore(t, c.Name, nil), &hyperbee.Options{CacheBytes: -1})
		replay(t, tree, opLog(c.Seed, c.Count, c.Space), c.Batch)
		c.check(t, tree.Core())
	}
}

func TestSequencesGiveTheBlocksOfJavaScript(t *testing.T) {
	var v struct {
		Sequences []struct {
			coreVector
			Batch int
		}
	}
	vectors(t, "struct-bee-ops.json", &v)
	up := func(n int) (s []int) {
		for i := range n {
			s = append(s, i)
		}
		return s
	}
	reversed := func(s []int) []int { slices.Reverse(s); return s }
	var odd []int
	for _, i := range up(300) {
		if i&1 == 1 {
			odd = append(odd, i)
		}
	}
	seqs := map[string]struct{ puts, dels []int }{
		"asc":          {up(1000), nil},
		"desc":         {reversed(up(1000)), nil},
		"asc-del-asc":  {up(300), up(300)},
		"asc-del-desc": {up(300), reversed(up(300))},
		"asc-del-odd":  {up(300), odd},
	}
	for name, s := range seqs {
		if c := s; c.puts != nil {
			seqs[name+"-b"] = c
		}
	}
	for _, c := range v.Sequences {
		t.Run(c.Name, func(t *testing.T) {
			s, ok := seqs[c.Name]
			if !ok {
				t.Fatal("unknown sequence")
			}
			var ops []op
			for _, i := range s.puts {
				ops = append(ops, op{key: fmt.Sprintf("k%05d", i), value: fmt.Sprintf("v%d", i)})
			}
			for _, i := range s.dels {
				ops = append(ops, op{del: true, key: fmt.Sprintf("k%05d", i)})
			}
			tree := treeOn(t, namedCore(t, c.Name, nil), nil)
			replay(t, tree, ops, c.Batch)
			c.check(t, tree.Core())
		})
	}
}
