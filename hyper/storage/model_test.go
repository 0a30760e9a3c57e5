package storage

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// model is what one core must contain.
type model struct {
	head   Head
	blocks map[uint64][]byte
	nodes  map[uint64]merkle.Node
	user   map[string][]byte
	puts   map[uint64]int // how often each block was put
}

func newModel() *model {
	return &model{blocks: map[uint64][]byte{}, nodes: map[uint64]merkle.Node{}, user: map[string][]byte{}, puts: map[uint64]int{}}
}

func (m *model) clone() *model {
	c := newModel()
	c.head = m.head
	for k, v := range m.blocks {
		c.blocks[k] = v
	}
	for k, v := range m.nodes {
		c.nodes[k] = v
	}
	for k, v := range m.puts {
		c.puts[k] = v
	}
	for k, v := range m.user {
		c.user[k] = v
	}
	return c
}

func (m *model) contiguous() uint64 {
	n := uint64(0)
	for m.blocks[n] != nil {
		n++
	}
	return n
}

// rightEnd is the end of the span of blocks under node x.
func rightEnd(x uint64) uint64 {
	d := uint(0)
	for x>>d&1 == 1 {
		d++
	}
	return ((x+1)>>(d+1) + 1) << d
}

type reads interface {
	Block(i uint64, dst []byte) ([]byte, error)
	BlockSize(i uint64) (int, error)
	Node(i uint64) (merkle.Node, error)
	UserData(name string) ([]byte, error)
}

const modelBlocks = 150

// diff compares what r reads with the model.
func (m *model) diff(r reads) error {
	for i := uint64(0); i < modelBlocks; i++ {
		got, err := r.Block(i, nil)
		want := m.blocks[i]
		if want == nil {
			if !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("block %d: %v instead of not found", i, err)
			}
		} else if err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("block %d: %d bytes instead of %d, %v", i, len(got), len(want), err)
		}
		if n, err := r.BlockSize(i); want != nil && (err != nil || n != len(want)) {
			return fmt.Errorf("size of block %d: %d, %v", i, n, err)
		}
	}
	for i := uint64(0); i < 2*modelBlocks; i++ {
		n, err := r.Node(i)
		if want, ok := m.nodes[i]; ok {
			if err != nil || n != want {
				return fmt.Errorf("node %d: %v, %v", i, n, err)
			}
		} else if !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("node %d: %v instead of not found", i, err)
		}
	}
	for _, name := range []string{"a", "b"} {
		v, err := r.UserData(name)
		if want, ok := m.user[name]; ok != (err == nil) || !bytes.Equal(v, want) {
			return fmt.Errorf("user data %q: %q, %v", name, v, err)
		}
	}
	return nil
}

func (m *model) diffHead(h Head) error {
	want := m.head
	want.Contiguous = m.contiguous()
	if h.Fork != want.Fork || h.Length != want.Length || h.Contiguous != want.Contiguous || !bytes.Equal(h.Signature, want.Signature) {
		return fmt.Errorf("head %+v instead of %+v", h, want)
	}
	return nil
}

func (m *model) diffCore(c *Core) error {
	if err := m.diff(c); err != nil {
		return err
	}
	if err := m.diffHead(c.Head()); err != nil {
		return err
	}
	held := c.Held()
	words := c.AppendBits(nil, 0, (modelBlocks+31)/32)
	for i := uint64(0); i < modelBlocks; i++ {
		want := m.blocks[i] != nil
		if c.Has(i, i+1) != want || held.Get(i) != want || words[i/32]>>(i%32)&1 == 1 != want {
			return fmt.Errorf("held bit %d is not %v", i, want)
		}
	}
	if n := c.CountHeld(0, modelBlocks); n != uint64(len(m.blocks)) {
		return fmt.Errorf("%d held instead of %d", n, len(m.blocks))
	}
	n := 0
	for b, err := range c.BlocksFrom(0, modelBlocks) {
		if err != nil || !bytes.Equal(b.Data, m.blocks[b.Index]) {
			return fmt.Errorf("scan at %d: %v", b.Index, err)
		}
		n++
	}
	if n != len(m.blocks) {
		return fmt.Errorf("scan gives %d blocks instead of %d", n, len(m.blocks))
	}
	return nil
}

// step draws one change and makes it to the batch and the model.
func (m *model) step(t *rapid.T, b *Batch, c *Core) {
	switch rapid.SampledFrom([]string{"append", "append", "put", "clear", "truncate", "node", "head", "user", "cutnodes"}).Draw(t, "change") {
	case "append":
		n := rapid.Uint64Range(1, 40).Draw(t, "n")
		size := rapid.SampledFrom([]int{0, 10, 100, largeBlock, 5000}).Draw(t, "size")
		for range n {
			i := m.head.Length
			if i >= modelBlocks {
				break
			}
			data := testBlock(i+rapid.Uint64Range(0, 3).Draw(t, "seed"), size)
			b.PutBlock(c, i, data)
			m.blocks[i] = data
			m.puts[i]++
			nodes := appendNodes(nil, i)
			b.PutNodes(c, nodes)
			for _, n := range nodes {
				m.nodes[n.Index] = n
			}
			m.head.Length++
		}
		b.SetHead(c, m.head)
	case "put":
		i := rapid.Uint64Range(0, modelBlocks-1).Draw(t, "i")
		data := testBlock(i, rapid.SampledFrom([]int{1, 50, largeBlock + 7}).Draw(t, "size"))
		b.PutBlock(c, i, data)
		m.blocks[i] = data
		m.puts[i]++
	case "clear":
		s := rapid.Uint64Range(0, modelBlocks).Draw(t, "s")
		e := s + rapid.Uint64Range(0, 70).Draw(t, "len")
		b.ClearBlocks(c, s, e)
		for i := s; i < e; i++ {
			delete(m.blocks, i)
		}
	case "truncate":
		n := rapid.Uint64Range(0, modelBlocks).Draw(t, "n")
		m.head.Length = min(m.head.Length, n)
		m.head.Fork++
		b.TruncateBlocks(c, n)
		b.TruncateNodes(c, n)
		b.SetHead(c, m.head)
		for i := n; i < modelBlocks; i++ {
			delete(m.blocks, i)
		}
		m.cutNodes(n)
	case "cutnodes":
		n := rapid.Uint64Range(0, modelBlocks).Draw(t, "n")
		b.TruncateNodes(c, n)
		m.cutNodes(n)
	case "node":
		n := testNode(rapid.Uint64Range(0, 2*modelBlocks-1).Draw(t, "x"))
		b.PutNode(c, n)
		m.nodes[n.Index] = n
	case "head":
		m.head.Fork = rapid.Uint64Range(0, 1<<52).Draw(t, "fork")
		m.head.Signature = rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "sig")
		b.SetHead(c, m.head)
	case "user":
		name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
		if v := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "value"); len(v) == 0 {
			b.SetUserData(c, name, nil)
			delete(m.user, name)
		} else {
			b.SetUserData(c, name, v)
			m.user[name] = v
		}
	}
}

func (m *model) cutNodes(n uint64) {
	for x := range m.nodes {
		if rightEnd(x) > n {
			delete(m.nodes, x)
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewMem()
		o := &Options{FS: fs, SegmentSize: 64 << 10, PageCacheSize: rapid.SampledFrom([]int64{64 << 10, 8 << 20}).Draw(t, "cache")}
		db, err := Open("s", o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { db.Close() }()
		const cores = 2
		var cs [cores]*Core
		var ms [cores]*model
		b := db.NewBatch()
		for i := range cs {
			if cs[i], err = db.CreateCore(b, dkOf(i)); err != nil {
				t.Fatal(err)
			}
			ms[i] = newModel()
		}
		if err := b.Commit(Durable); err != nil {
			t.Fatal(err)
		}
		type snap struct {
			s *Snapshot
			m *model
		}
		var snaps []snap
		closeSnaps := func() {
			for _, s := range snaps {
				if err := s.m.diff(s.s); err != nil {
					t.Fatalf("snapshot: %v", err)
				}
				h, err := s.s.Head()
				if err == nil {
					err = s.m.diffHead(h)
				}
				if err != nil {
					t.Fatalf("snapshot: %v", err)
				}
				if err := s.s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			snaps = nil
		}
		for range rapid.IntRange(1, 25).Draw(t, "rounds") {
			var touched [cores]bool
			op := rapid.SampledFrom([]string{"commit", "commit", "commit", "snapshot", "release", "reopen", "flush", "compact", "drop", "check"}).Draw(t, "op")
			switch op {
			case "commit":
				for range rapid.IntRange(1, 4).Draw(t, "steps") {
					k := rapid.IntRange(0, cores-1).Draw(t, "core")
					touched[k] = true
					ms[k].step(t, b, cs[k])
				}
				if err := b.Commit(rapid.SampledFrom([]Mode{Relaxed, Durable}).Draw(t, "mode")); err != nil {
					t.Fatal(err)
				}
			case "snapshot":
				k := rapid.IntRange(0, cores-1).Draw(t, "core")
				s, err := cs[k].Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				snaps = append(snaps, snap{s, ms[k].clone()})
			case "release":
				closeSnaps()
			case "reopen":
				closeSnaps()
				b.Close()
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				if db, err = Open("s", o); err != nil {
					t.Fatal(err)
				}
				b = db.NewBatch()
				for i := range cs {
					if cs[i], err = db.Core(dkOf(i)); err != nil {
						t.Fatal(err)
					}
				}
			case "flush":
				if err := db.Flush(); err != nil {
					t.Fatal(err)
				}
			case "compact":
				if err := db.pebble.Flush(); err != nil {
					t.Fatal(err)
				}
				if err := db.pebble.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
					t.Fatal(err)
				}
			case "drop":
				k := rapid.IntRange(0, cores-1).Draw(t, "core")
				b.DeleteCore(cs[k])
				if err := b.Commit(Relaxed); err != nil {
					t.Fatal(err)
				}
				if _, err := db.Core(dkOf(k)); !errors.Is(err, ErrNotFound) {
					t.Fatalf("deleted core: %v", err)
				}
				if cs[k], err = db.CreateCore(b, dkOf(k)); err != nil {
					t.Fatal(err)
				}
				if err := b.Commit(Relaxed); err != nil {
					t.Fatal(err)
				}
				ms[k] = newModel()
			case "check":
				if err := checkAll(db); err != nil {
					t.Fatal(err)
				}
			}
			for i := range cs {
				if op == "snapshot" || op == "release" || op == "commit" && !touched[i] {
					continue // reading all is most of the work
				}
				if err := ms[i].diffCore(cs[i]); err != nil {
					t.Fatalf("core %d: %v", i, err)
				}
			}
		}
		for i := range cs {
			if err := ms[i].diffCore(cs[i]); err != nil {
				t.Fatalf("core %d: %v", i, err)
			}
		}
		closeSnaps()
		if err := checkAll(db); err != nil {
			t.Fatal(err)
		}
	})
}
