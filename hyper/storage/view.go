package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// liveState is the state of a view that always reads the newest data.
const liveState = math.MaxUint64

// view reads one core, either its newest data or a snapshot.
type view struct {
	core  *Core
	r     pebble.Reader
	state uint64 // state of the core that is read; liveState for the newest
}

// get reads one record; the result is valid until closed is called.
func (v *view) get(key []byte) (value []byte, done func(), err error) {
	db := v.core.db
	if !db.gate.enter() {
		return nil, nil, ErrClosed
	}
	value, closer, err := v.r.Get(key)
	if err != nil {
		db.leave()
		return nil, nil, fromPebble(err)
	}
	return value, func() { closer.Close(); db.leave() }, nil
}

func fromPebble(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, pebble.ErrClosed):
		return ErrClosed
	case pebble.IsCorruptionError(err) && !errors.As(err, &errno): // what cannot be read may be right
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return fmt.Errorf("storage: %w", err)
}

// withPage calls fn with the page of key k, from the cache or the database. fn
// must not keep the page and must not block.
func (v *view) withPage(k pageKey, fn func(p *page) error) error {
	sh := v.core.db.cache.shard(k)
	sh.mu.Lock()
	if p := sh.get(k, v.state); p != nil {
		err := fn(p)
		sh.mu.Unlock()
		return err
	}
	sh.mu.Unlock()

	if !v.core.db.gate.enter() {
		return ErrClosed
	}
	defer v.core.db.leave()
	state := v.core.state.Load()
	var buf [24]byte
	var key []byte
	if k.part == partTree {
		key = appendTreeKey(buf[:0], k.core, k.layer, k.page)
	} else {
		key = appendPageKey(buf[:0], k.core, k.part, k.page)
	}
	value, closer, err := v.r.Get(key)
	if err != nil {
		if err = fromPebble(err); isNotFound(err) && k.part == partTree {
			// Whoever looks for missing nodes looks often.
			v.keep(sh, k, state, &page{})
		}
		return err
	}
	defer closer.Close()
	pp, _ := v.core.db.pages.Get().(*page)
	if pp == nil {
		pp = new(page)
	}
	defer v.core.db.pages.Put(pp)
	if err := pp.parse(k.part, value); err != nil {
		return err
	}
	err = fn(pp)
	v.keep(sh, k, state, pp)
	pp.data = nil
	return err
}

// keep puts a page into the cache if nothing has changed since state was looked
// at, and the view is not an older one.
func (v *view) keep(sh *cacheShard, k pageKey, state uint64, p *page) {
	if state&1 != 0 || v.state != liveState && v.state != state {
		return
	}
	sh.mu.Lock()
	if v.core.state.Load() == state {
		sh.put(k, state, p)
	}
	sh.mu.Unlock()
}

// Node returns the tree node with the given index, or ErrNotFound.
func (v *view) Node(index uint64) (merkle.Node, error) {
	if index > 2*MaxIndex {
		return merkle.Node{}, ErrNotFound
	}
	layer, page, slot := treeSlot(index)
	return v.nodeAt(index, pageKey{core: v.core.id, part: partTree, layer: layer, page: page}, slot)
}

func (v *view) nodeAt(index uint64, k pageKey, slot uint) (n merkle.Node, err error) {
	sh := v.core.db.cache.shard(k)
	sh.mu.Lock()
	if p := sh.get(k, v.state); p != nil {
		n, err = p.merkleNode(index, slot)
		sh.mu.Unlock()
		return n, err
	}
	sh.mu.Unlock()
	err = v.withPage(k, func(p *page) (err error) {
		n, err = p.merkleNode(index, slot)
		return err
	})
	return n, err
}

func (p *page) merkleNode(index uint64, slot uint) (merkle.Node, error) {
	if !has(p.set, slot) {
		return merkle.Node{}, ErrNotFound
	}
	size, hash := p.node(slot)
	return merkle.Node{Index: index, Size: size, Hash: hypercrypto.Hash(hash)}, nil
}

// Nodes reads the nodes with the given indexes into dst, which must be as long.
// If one is missing the error is ErrNotFound and dst is not complete.
func (v *view) Nodes(indexes []uint64, dst []merkle.Node) error {
	for i, x := range indexes {
		n, err := v.Node(x)
		if err != nil {
			return err
		}
		dst[i] = n
	}
	return nil
}

// Block appends the bytes of block i to dst and returns the extended slice. A
// block that is not held is ErrNotFound; one whose bytes are damaged is
// ErrCorrupt.
func (v *view) Block(i uint64, dst []byte) ([]byte, error) {
	for try := 0; ; try++ {
		out, ptr, large, err := v.lookup(i, dst)
		if err != nil || !large {
			return out, err
		}
		if !v.core.db.gate.enter() {
			return dst, ErrClosed
		}
		out, err = v.core.db.segs.read(ptr, dst)
		v.core.db.leave()
		if err == nil {
			return out, nil
		}
		// The block may have been removed or moved between the two steps.
		_, again, large, lerr := v.lookup(i, nil)
		switch {
		case lerr != nil:
			return dst, lerr
		case !large || again == ptr || try > 3:
			if try <= 3 && !large {
				continue
			}
			return dst, fmt.Errorf("block %d: %w", i, err)
		}
	}
}

// BlockSize returns the size of block i in bytes without reading it, or
// ErrNotFound.
func (v *view) BlockSize(i uint64) (n int, err error) {
	if i > MaxIndex {
		return 0, ErrNotFound
	}
	slot := uint(i & (blockSlots - 1))
	err = v.withPage(pageKey{core: v.core.id, part: partBlock, page: i >> blockShift}, func(p *page) error {
		if !has(p.set, slot) {
			return ErrNotFound
		}
		l, _ := binary.Uvarint(p.data[p.off[slot]:])
		n = int(l >> 1)
		return nil
	})
	return n, err
}

// lookup appends block i to dst if it is inline, else it returns the pointer.
func (v *view) lookup(i uint64, dst []byte) (out []byte, ptr pointer, large bool, err error) {
	if i > MaxIndex {
		return dst, ptr, false, ErrNotFound
	}
	slot := uint(i & (blockSlots - 1))
	k := pageKey{core: v.core.id, part: partBlock, page: i >> blockShift}
	sh := v.core.db.cache.shard(k)
	sh.mu.Lock()
	if p := sh.get(k, v.state); p != nil {
		dst, ptr, large, err = p.appendBlock(slot, dst)
		sh.mu.Unlock()
		return dst, ptr, large, err
	}
	sh.mu.Unlock()
	err = v.withPage(k, func(p *page) (err error) {
		dst, ptr, large, err = p.appendBlock(slot, dst)
		return err
	})
	return dst, ptr, large, err
}

func (p *page) appendBlock(slot uint, dst []byte) ([]byte, pointer, bool, error) {
	if !has(p.set, slot) {
		return dst, pointer{}, false, ErrNotFound
	}
	inline, ptr, large := p.block(slot)
	if large {
		return dst, ptr, true, nil
	}
	return append(dst, inline...), pointer{}, false, nil
}

// UserData returns the value that SetUserData stored under name, or ErrNotFound.
func (v *view) UserData(name string) ([]byte, error) {
	return v.copyOf(append(appendCoreKey(nil, v.core.id, partUser), name...))
}

// Auth returns the auth record.
func (v *view) Auth() (Auth, error) {
	var a Auth
	b, err := v.copyOf(appendCoreKey(nil, v.core.id, partAuth))
	if err != nil {
		return a, err
	}
	return a, a.decode(b)
}

func (v *view) copyOf(key []byte) ([]byte, error) {
	b, done, err := v.get(key)
	if err != nil {
		return nil, err
	}
	defer done()
	return append([]byte{}, b...), nil
}

func (v *view) readHead() (h headRecord, err error) {
	var buf [16]byte
	b, done, err := v.get(appendCoreKey(buf[:0], v.core.id, partHead))
	if errors.Is(err, ErrNotFound) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	defer done()
	return h, h.decode(b)
}
