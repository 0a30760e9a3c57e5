package storage

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"runtime"
	"weak"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

var nextIDKey = append([]byte{tabMeta}, "next-core"...)

// loadNextID finds the first id that was never used: ids are given in ascending
// order, and a deletion records the highest.
func (db *DB) loadNextID() error {
	db.nextID = 1
	if v, closer, err := db.pebble.Get(nextIDKey); err == nil {
		if len(v) == 4 {
			db.nextID = coreID(binary.BigEndian.Uint32(v))
		}
		closer.Close()
	} else if !isNotFound(fromPebble(err)) {
		return fromPebble(err)
	}
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: []byte{tabCore}, UpperBound: []byte{tabCore + 1}})
	if err != nil {
		return fromPebble(err)
	}
	if it.Last() && len(it.Key()) >= corePrefixLen {
		db.nextID = max(db.nextID, coreID(binary.BigEndian.Uint32(it.Key()[1:]))+1)
	}
	if err := it.Error(); err != nil {
		it.Close()
		return fromPebble(err)
	}
	return fromPebble(it.Close())
}

func (db *DB) encodeNextID(pb *pebble.Batch) error {
	db.mu.Lock()
	next := db.nextID
	db.mu.Unlock()
	return pb.Set(nextIDKey, binary.BigEndian.AppendUint32(nil, uint32(next)), nil)
}

// Core returns the core with the given discovery key, or ErrNotFound.
func (db *DB) Core(dk hypercrypto.DiscoveryKey) (*Core, error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.leave()
	v, closer, err := db.pebble.Get(directoryKey(dk))
	if err != nil {
		return nil, fromPebble(err)
	}
	defer closer.Close()
	if len(v) != 4 {
		return nil, fmt.Errorf("%w: directory record", ErrCorrupt)
	}
	return db.coreByID(coreID(binary.BigEndian.Uint32(v)))
}

// coreByID returns the one Core value for an id.
func (db *DB) coreByID(id coreID) (*Core, error) {
	db.mu.Lock()
	if c := db.cores[id].Value(); c != nil {
		db.mu.Unlock()
		return c, nil
	}
	states := db.states
	db.mu.Unlock()

	c := &Core{db: db, id: id}
	c.state.Store(states)
	v, closer, err := db.pebble.Get(appendCoreKey(nil, id, partInfo))
	if err != nil {
		return nil, fromPebble(err)
	}
	err = c.decodeInfo(v)
	closer.Close()
	if err != nil {
		return nil, err
	}
	// No commit can touch the core meanwhile unless somebody else has loaded it,
	// and then that value is the one that is used.
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("core %s: %w", c.dk, err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if other := db.cores[id].Value(); other != nil {
		return other, nil
	}
	if db.states != states {
		// Another value may have come and gone.
		return db.reloadLocked(c)
	}
	db.adoptLocked(c)
	return c, nil
}

// reloadLocked loads c again while nobody else can make a value for its id.
// db.mu must be held.
func (db *DB) reloadLocked(c *Core) (*Core, error) {
	n := &Core{db: db, id: c.id, dk: c.dk, parent: c.parent, name: c.name}
	n.state.Store(db.states)
	if err := n.load(); err != nil {
		return nil, err
	}
	db.adoptLocked(n)
	return n, nil
}

// adoptLocked makes c the value for its id. It is forgotten when nobody uses it
// any more. db.mu must be held.
func (db *DB) adoptLocked(c *Core) {
	db.cores[c.id] = weak.Make(c)
	runtime.AddCleanup(c, db.forgetCore, c.id)
}

func (db *DB) forgetCore(id coreID) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if p, ok := db.cores[id]; ok && p.Value() == nil {
		delete(db.cores, id)
		// A value that is being loaded now can see by this that it may be late.
		db.states += 1 << 32
	}
}

// CreateCore adds a core. The value may be used in b at once, and everywhere
// when b is committed. ErrExists if the discovery key is taken, or about to be.
func (db *DB) CreateCore(b *Batch, dk hypercrypto.DiscoveryKey) (*Core, error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.leave()
	db.mu.Lock()
	defer db.mu.Unlock()
	if _, ok := db.creating[dk]; ok {
		return nil, fmt.Errorf("%w: core %s", ErrExists, dk)
	}
	if _, closer, err := db.pebble.Get(directoryKey(dk)); err == nil {
		closer.Close()
		return nil, fmt.Errorf("%w: core %s", ErrExists, dk)
	} else if err := fromPebble(err); !isNotFound(err) {
		return nil, err
	}
	c, err := db.newCoreLocked(dk)
	if err != nil {
		return nil, err
	}
	db.creating[dk] = struct{}{}
	b.created = append(b.created, dk)
	b.records = append(b.records, record{key: directoryKey(dk), value: binary.BigEndian.AppendUint32(nil, uint32(c.id))})
	b.addCore(c)
	return c, nil
}

// newCoreLocked makes a core with the next id. db.mu must be held.
func (db *DB) newCoreLocked(dk hypercrypto.DiscoveryKey) (*Core, error) {
	if db.nextID == math.MaxUint32 {
		return nil, fmt.Errorf("%w: no core ids left", ErrTooLarge)
	}
	c := &Core{db: db, id: db.nextID, dk: dk}
	c.state.Store(db.states)
	db.nextID++
	db.adoptLocked(c)
	return c, nil
}

func (b *Batch) addCore(c *Core) {
	b.ops(c).created = true
	b.records = append(b.records, record{key: appendCoreKey(nil, c.id, partInfo), value: c.appendInfo(nil)})
}

// forget ends the reservations of discovery keys by CreateCore.
func (db *DB) forget(created []hypercrypto.DiscoveryKey) {
	if len(created) == 0 {
		return
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, dk := range created {
		delete(db.creating, dk)
	}
}

// info record: discovery key, parent id (0 for a main core), branch name
func (c *Core) appendInfo(b []byte) []byte {
	b = append(b, c.dk[:]...)
	b = compact.AppendUint(b, uint64(c.parent))
	return compact.AppendString(b, c.name)
}

func (c *Core) decodeInfo(b []byte) error {
	r := compact.NewReader(b)
	c.dk = r.Fixed32()
	parent := r.Uint()
	c.name = r.String()
	if r.Err() != nil || parent > math.MaxUint32 {
		return fmt.Errorf("%w: info record of core %d", ErrCorrupt, c.id)
	}
	c.parent = coreID(parent)
	return nil
}

// Cores yields all cores that have a discovery key, in its order. Cores added
// meanwhile may be missed. After an error it stops.
func (db *DB) Cores() iter.Seq2[*Core, error] {
	return func(yield func(*Core, error) bool) {
		after := []byte{tabDirectory}
		for {
			ids, next, err := db.directory(after, 256)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, id := range ids {
				c, err := db.enterCore(id)
				if isNotFound(err) {
					continue // deleted meanwhile
				}
				if !yield(c, err) || err != nil {
					return
				}
			}
			if next == nil {
				return
			}
			after = next
		}
	}
}

func (db *DB) enterCore(id coreID) (*Core, error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.leave()
	return db.coreByID(id)
}

// directory returns up to n core ids from a key on, and the key to go on from.
func (db *DB) directory(from []byte, n int) (ids []coreID, next []byte, err error) {
	if !db.gate.enter() {
		return nil, nil, ErrClosed
	}
	defer db.leave()
	err = db.scan(db.pebble, from, []byte{tabDirectory + 1}, func(key, value []byte) error {
		if len(ids) == n {
			next = append([]byte(nil), key...)
			return errStop
		}
		if len(value) != 4 {
			return fmt.Errorf("%w: directory record", ErrCorrupt)
		}
		ids = append(ids, coreID(binary.BigEndian.Uint32(value)))
		return nil
	})
	if next != nil {
		err = nil
	}
	return ids, next, err
}
