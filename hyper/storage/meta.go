package storage

import (
	"fmt"
	"iter"
	"slices"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Records of the store as a whole.

var seedKey = append([]byte{tabMeta}, "seed"...)

// Seed returns the primary key of the store, or ErrNotFound.
func (db *DB) Seed() (seed [32]byte, err error) {
	b, err := db.record(seedKey)
	if err != nil {
		return seed, err
	}
	if len(b) != len(seed) {
		return seed, fmt.Errorf("%w: seed record", ErrCorrupt)
	}
	return [32]byte(b), nil
}

// SetSeed stores the primary key of the store.
func (b *Batch) SetSeed(seed [32]byte) {
	b.records = append(b.records, record{key: seedKey, value: seed[:]})
}

// UserData returns what SetStoreUserData stored under name, or ErrNotFound.
func (db *DB) UserData(name string) ([]byte, error) {
	return db.record(append([]byte{tabUser}, name...))
}

// SetStoreUserData stores a value of the store under name; nil removes it.
func (b *Batch) SetStoreUserData(name string, value []byte) {
	b.records = append(b.records, record{key: append([]byte{tabUser}, name...), value: slices.Clone(value), del: value == nil})
}

// Alias is a name for a core.
type Alias struct {
	Namespace [32]byte
	Name      string
}

func (a Alias) key() []byte {
	return append(append([]byte{tabAlias}, a.Namespace[:]...), a.Name...)
}

// Alias returns the discovery key that goes by a name, or ErrNotFound.
func (db *DB) Alias(a Alias) (dk hypercrypto.DiscoveryKey, err error) {
	b, err := db.record(a.key())
	if err != nil {
		return dk, err
	}
	if len(b) != len(dk) {
		return dk, fmt.Errorf("%w: alias record", ErrCorrupt)
	}
	return hypercrypto.DiscoveryKey(b), nil
}

// SetAlias lets a core go by a name.
func (b *Batch) SetAlias(a Alias, dk hypercrypto.DiscoveryKey) {
	b.records = append(b.records, record{key: a.key(), value: dk[:]})
}

// DeleteAlias removes a name.
func (b *Batch) DeleteAlias(a Alias) {
	b.records = append(b.records, record{key: a.key(), del: true})
}

// Aliases yields all names, ordered by namespace and name. The error is set at
// most once, in the last step.
func (db *DB) Aliases() iter.Seq2[AliasEntry, error] {
	return func(yield func(AliasEntry, error) bool) {
		var all []AliasEntry
		err := db.records(tabAlias, func(key, value []byte) error {
			if len(key) < 33 || len(value) != 32 {
				return fmt.Errorf("%w: alias record", ErrCorrupt)
			}
			e := AliasEntry{DiscoveryKey: hypercrypto.DiscoveryKey(value)}
			e.Namespace, e.Name = [32]byte(key[1:33]), string(key[33:])
			all = append(all, e)
			return nil
		})
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(AliasEntry{}, err)
		}
	}
}

// AliasEntry is a name and the core that goes by it.
type AliasEntry struct {
	Alias
	DiscoveryKey hypercrypto.DiscoveryKey
}

func (db *DB) record(key []byte) ([]byte, error) {
	if !db.gate.enter() {
		return nil, ErrClosed
	}
	defer db.leave()
	v, closer, err := db.pebble.Get(key)
	if err != nil {
		return nil, fromPebble(err)
	}
	defer closer.Close()
	return append([]byte{}, v...), nil
}

func (db *DB) records(table byte, fn func(key, value []byte) error) error {
	if !db.gate.enter() {
		return ErrClosed
	}
	defer db.leave()
	return db.scan(db.pebble, []byte{table}, []byte{table + 1}, fn)
}

// branch record: id of the branch, length it shares with its parent
type branchRecord struct {
	id     coreID
	length uint64
}

func (r branchRecord) append(b []byte) []byte {
	return compact.AppendUint(compact.AppendUint(b, uint64(r.id)), r.length)
}

func (r *branchRecord) decode(b []byte) error {
	d := compact.NewReader(b)
	id := d.Uint()
	r.length = d.Uint()
	if d.Err() != nil || id == 0 || id > 1<<32-1 {
		return fmt.Errorf("%w: branch record", ErrCorrupt)
	}
	r.id = coreID(id)
	return nil
}
