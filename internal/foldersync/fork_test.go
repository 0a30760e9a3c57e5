package foldersync

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// fork is a device's tree as package filetree makes it: what the device knows of the
// operations of all, in one order. When it learns of others, the order of what it had
// may change.
type fork struct {
	*view
	pool   *memTree // the contents of all
	device hypercrypto.PublicKey
	ops    []forkOp
	state  *memState
}

type forkOp struct {
	by   filetree.Author
	body []byte
}

func newFork(pool *memTree, n byte) *fork {
	return &fork{view: newMemTree().view(), pool: pool, device: hypercrypto.PublicKey{n}, state: newMemState()}
}

func (f *fork) Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error) {
	if err := f.pool.failing("commit", ""); err != nil {
		return nil, err
	}
	bodies, err := filetree.Encode(filetree.Op{}, changes)
	if err != nil {
		return nil, err
	}
	var versions []filetree.Version
	for _, body := range bodies {
		by := filetree.Author{Log: hypercrypto.Key(f.device), Length: 1, Device: f.device, DeviceName: fmt.Sprint("device ", f.device[0]), Time: 1 << 16}
		for _, op := range f.ops {
			if op.by.Device == f.device {
				by.Length++
			}
			by.Time = max(by.Time, op.by.Time+1<<16)
		}
		f.ops = append(f.ops, forkOp{by, body})
		if err := filetree.Apply(ctx, f.state, by, body); err != nil {
			return nil, err
		}
		op, err := filetree.DecodeOp(body)
		if err != nil {
			return nil, err
		}
		for i := range op.Changes {
			versions = append(versions, by.Version(i))
		}
	}
	f.commits++
	if err := f.refresh(); err != nil {
		return nil, err
	}
	return versions, f.pool.failing("after commit", "")
}

// refresh makes the entries those of the state.
func (f *fork) refresh() error {
	f.memTree.mu.Lock()
	defer f.memTree.mu.Unlock()
	now := make(map[string]filetree.Entry)
	v := filetree.NewView(f.state)
	for e, err := range v.Walk(context.Background(), "") {
		if err != nil {
			return err
		}
		if e.Kind == kindFile {
			if e.Content, err = v.Content(context.Background(), e.Hash); err != nil {
				return err
			}
		}
		now[e.Path] = e
	}
	for p, e := range f.entries {
		if n, ok := now[p]; !ok || n.Version != e.Version {
			f.log = append(f.log, p)
		}
	}
	for p := range now {
		if _, ok := f.entries[p]; !ok {
			f.log = append(f.log, p)
		}
	}
	f.entries = now
	return nil
}

// exchange lets two devices know all that one of them knows.
func exchange(a, b *fork) error {
	all := make(map[filetree.OpID]forkOp)
	for _, op := range append(slices.Clone(a.ops), b.ops...) {
		all[op.by.ID()] = op
	}
	ops := slices.SortedFunc(maps.Values(all), func(x, y forkOp) int {
		return cmp.Or(cmp.Compare(x.by.Time, y.by.Time), cmp.Compare(x.by.Device[0], y.by.Device[0]))
	})
	for _, f := range []*fork{a, b} {
		f.ops, f.state = slices.Clone(ops), newMemState()
		for _, op := range ops {
			if err := filetree.Apply(context.Background(), f.state, op.by, op.body); err != nil {
				return err
			}
		}
		if err := f.refresh(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fork) Lookup(ctx context.Context, path string) (filetree.Entry, bool, error) {
	if err := f.pool.failing("lookup", path); err != nil {
		return filetree.Entry{}, false, err
	}
	return f.view.Lookup(ctx, path)
}

func (f *fork) Store(ctx context.Context, r io.Reader, prev []byte) (Content, error) {
	return f.pool.Store(ctx, r, prev)
}

func (f *fork) StoreBatch(ctx context.Context, list []Small) ([][]byte, error) {
	return f.pool.StoreBatch(ctx, list)
}

func (f *fork) Find(ctx context.Context, hash hypercrypto.Hash, size uint64) ([]byte, bool, error) {
	return f.pool.Find(ctx, hash, size)
}

func (f *fork) Open(ctx context.Context, e filetree.Entry) (Reader, error) {
	return f.pool.Open(ctx, e)
}

// memState is a state in memory, in order.
type memState struct {
	keys   []string
	values map[string][]byte
}

func newMemState() *memState { return &memState{values: make(map[string][]byte)} }

func (m *memState) Get(_ context.Context, key []byte) ([]byte, bool, error) {
	v, ok := m.values[string(key)]
	return v, ok, nil
}

func (m *memState) Put(_ context.Context, key, value []byte) error {
	k := string(key)
	if i, ok := slices.BinarySearch(m.keys, k); !ok {
		m.keys = slices.Insert(m.keys, i, k)
	}
	m.values[k] = slices.Clone(value)
	return nil
}

func (m *memState) Del(_ context.Context, key []byte) error {
	k := string(key)
	if i, ok := slices.BinarySearch(m.keys, k); ok {
		m.keys = slices.Delete(m.keys, i, i+1)
		delete(m.values, k)
	}
	return nil
}

func (m *memState) Entries(_ context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error] {
	return func(yield func(hyperbee.Entry, error) bool) {
		var keys []string
		for _, k := range m.keys {
			if (r.GT == nil || k > string(r.GT)) && (r.GTE == nil || k >= string(r.GTE)) && (r.LT == nil || k < string(r.LT)) && (r.LTE == nil || k <= string(r.LTE)) {
				keys = append(keys, k)
			}
		}
		if r.Reverse {
			slices.Reverse(keys)
		}
		n := 0
		for _, k := range keys {
			v, ok := m.values[k]
			if !ok {
				continue
			}
			if n++; r.Limit > 0 && n > r.Limit || !yield(hyperbee.Entry{Key: []byte(k), Value: v}, nil) {
				return
			}
		}
	}
}
