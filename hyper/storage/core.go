package storage

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/bitfield"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
)

// Core is the stored data of one log. There is one Core value per log and DB;
// it stays valid until the DB is closed or the core deleted, and need not be
// closed. All methods may be called concurrently, also while batches change the
// core. They read the newest data; take a [Snapshot] for several reads that
// must agree.
type Core struct {
	db *DB
	id coreID
	dk hypercrypto.DiscoveryKey

	parent coreID // of a branch; else 0
	name   string // of a branch

	// state counts the commits to this core, in steps of two: it is odd while
	// one takes effect. It orders cached pages and snapshots.
	state atomic.Uint64

	// writeMu is held during a commit that touches the core. Batches lock
	// several cores in order of their ids.
	writeMu sync.Mutex

	mu      sync.RWMutex // guards what follows
	head    headRecord
	bits    bitfield.Bitfield // held blocks from head.Contiguous on
	deleted bool
}

func (c *Core) live() view { return view{core: c, r: c.db.pebble, state: liveState} }

// DiscoveryKey returns the key the core is found by; zero for a branch.
func (c *Core) DiscoveryKey() hypercrypto.DiscoveryKey { return c.dk }

func (c *Core) isMain() bool { return c.parent == 0 }

// Head returns the head. A core without one has the zero Head.
func (c *Core) Head() Head {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.head.Head
}

// Auth returns the auth record, or ErrNotFound.
func (c *Core) Auth() (Auth, error) {
	v := c.live()
	return v.Auth()
}

// Node returns the tree node with the given index, or ErrNotFound.
func (c *Core) Node(index uint64) (merkle.Node, error) {
	v := c.live()
	return v.Node(index)
}

// Nodes reads the nodes with the given indexes into dst, which must be as long.
// If one is missing the error is ErrNotFound and dst is not complete.
func (c *Core) Nodes(indexes []uint64, dst []merkle.Node) error {
	v := c.live()
	return v.Nodes(indexes, dst)
}

// Block appends the bytes of block i to dst and returns the extended slice. A
// block that is not held is ErrNotFound; one whose bytes are damaged is
// ErrCorrupt.
func (c *Core) Block(i uint64, dst []byte) ([]byte, error) {
	v := c.live()
	return v.Block(i, dst)
}

// BlockSize returns the size of block i in bytes without reading it, or
// ErrNotFound.
func (c *Core) BlockSize(i uint64) (int, error) {
	v := c.live()
	return v.BlockSize(i)
}

// UserData returns the value that SetUserData stored under name, or ErrNotFound.
func (c *Core) UserData(name string) ([]byte, error) {
	v := c.live()
	return v.UserData(name)
}

// Has tells whether all blocks of [start, end) are held.
func (c *Core) Has(start, end uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return end <= start || c.nextMissingLocked(start) >= end
}

// NextHeld returns the first held block from i on.
func (c *Core) NextHeld(i uint64) (block uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if i < c.head.Contiguous {
		return i, true
	}
	return c.bits.NextSet(i)
}

// NextMissing returns the first block from i on that is not held. It may lie
// beyond the length.
func (c *Core) NextMissing(i uint64) uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.nextMissingLocked(i)
}

// c.mu must be held.
func (c *Core) nextMissingLocked(i uint64) uint64 {
	return c.bits.NextUnset(max(i, c.head.Contiguous))
}

// CountHeld returns how many blocks of [start, end) are held.
func (c *Core) CountHeld(start, end uint64) uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var n uint64
	if start < c.head.Contiguous && start < end {
		n = min(end, c.head.Contiguous) - start
		start += n
	}
	return n + c.bits.CountRange(start, end)
}

// Held returns a copy of the set of held blocks.
func (c *Core) Held() *bitfield.Bitfield {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.bits.Clone()
	b.SetRange(0, c.head.Contiguous, true)
	return b
}

// AppendBits appends n 32-bit words of the set of held blocks from block start
// on, which must be a multiple of 32; bit i of it is at 1<<(i%32).
func (c *Core) AppendBits(dst []uint32, start uint64, n int) []uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	at := len(dst)
	dst = c.bits.AppendWords(dst, start, n)
	for i := at; i < len(dst) && start < c.head.Contiguous; i++ {
		if left := c.head.Contiguous - start; left >= 32 {
			dst[i] = ^uint32(0)
		} else {
			dst[i] |= 1<<left - 1
		}
		start += 32
	}
	return dst
}

// load reads the head and the held blocks.
func (c *Core) load() error {
	v := c.live()
	h, err := v.readHead()
	if err != nil {
		return err
	}
	c.head = h
	lower := appendCoreKey(nil, c.id, partBits)
	return c.db.scan(v.r, appendPageKey(nil, c.id, partBits, h.Contiguous/bitPageBits), prefixEnd(lower), func(key, value []byte) error {
		if len(key) != len(lower)+6 {
			return errPage("key")
		}
		start := uint48(key[len(lower):]) * bitPageBits
		if start > MaxIndex {
			return errPage("key")
		}
		var p bitPage
		if err := p.parse(value); err != nil {
			return err
		}
		p.addTo(&c.bits, start, h.Contiguous)
		return nil
	})
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
