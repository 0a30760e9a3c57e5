package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
	"github.com/tradle/cloudpal/internal/fault"
)

// registry is the list of known drives: a tree in a log of the store, from names
// to records in JSON. Nobody else knows the log's key, so no peer can ask for it.
type registry struct {
	core *hypercore.Core
	tree *hyperbee.Tree

	// damage tells what could not be read. The rest can be used, but is not
	// changed.
	damage error

	mu      sync.Mutex // guards records, and is held across writes
	records map[string]Record
}

// registryCore is the name of the log.
const registryCore = "cloudpal/drives"

func openRegistry(ctx context.Context, store *corestore.Store) (*registry, error) {
	core, err := store.Get(ctx, corestore.GetOptions{Name: registryCore, Passive: true})
	if err != nil {
		return nil, err
	}
	r := &registry{core: core, tree: hyperbee.New(core, nil), records: make(map[string]Record)}
	for e, err := range r.tree.Entries(ctx, hyperbee.Range{}) {
		if ctx.Err() != nil {
			return nil, errors.Join(err, r.close())
		}
		if err != nil {
			r.damaged(err)
			break
		}
		record, err := decodeRecord(e.Value)
		if err != nil {
			r.damaged(fmt.Errorf("drive %q: %w", e.Key, err))
			continue
		}
		r.records[record.Name] = record
	}
	return r, nil
}

// damaged remembers the first thing that could not be read.
func (r *registry) damaged(err error) {
	if r.damage == nil {
		r.damage = fault.New(fault.Corrupt, "the list of drives is damaged: %w", err).
			Hint("what is stored can be checked with cloudpal doctor; drives can still be named by their links").
			Hint("restore the data folder from a backup, or begin a new one with CLOUDPAL_HOME")
	}
}

func decodeRecord(b []byte) (Record, error) {
	var record Record
	if err := json.Unmarshal(b, &record); err != nil {
		return record, err
	}
	l, err := link.Parse(record.Link)
	if err != nil {
		return record, err
	}
	record.Key, record.EncryptionKey = l.Key, l.EncryptionKey
	return record, nil
}

func (r *registry) close() error { return errors.Join(r.tree.Close(), r.core.Close()) }

func (r *registry) all() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Collect(maps.Values(r.records))
	slices.SortFunc(list, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// find returns the first record that fits, in the order of names.
func (r *registry) find(fits func(Record) bool) (Record, bool) {
	for _, record := range r.all() {
		if fits(record) {
			return record, true
		}
	}
	return Record{}, false
}

func (r *registry) byName(name string) (Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record, ok := r.records[name]
	return record, ok
}

func (r *registry) byKey(key hypercrypto.Key) (Record, bool) {
	return r.find(func(c Record) bool { return c.Key == key })
}

// add stores a new record. If its name is taken and wanted is false, a number is
// added to it. It returns the record as stored.
func (r *registry) add(ctx context.Context, record Record, wanted bool) (Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	base := record.Name
	for n := 2; ; n++ {
		if _, taken := r.records[record.Name]; !taken {
			break
		}
		if wanted {
			return record, fault.New(fault.Conflict, "the name %q belongs to another drive", base).
				Hint("choose another with --name")
		}
		record.Name = fmt.Sprintf("%s-%d", base, n)
	}
	return record, r.putLocked(ctx, record)
}

// update changes the record of a key, if there is one.
func (r *registry) update(ctx context.Context, key hypercrypto.Key, change func(*Record)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range r.records {
		if record.Key == key {
			change(&record)
			return r.putLocked(ctx, record)
		}
	}
	return nil
}

// putLocked stores a record. r.mu must be held.
func (r *registry) putLocked(ctx context.Context, record Record) error {
	if r.damage != nil {
		return r.damage
	}
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode drive %q: %w", record.Name, err)
	}
	if err := r.tree.Put(ctx, []byte(record.Name), b, nil); err != nil {
		return fmt.Errorf("remember drive %q: %w", record.Name, err)
	}
	r.records[record.Name] = record
	return nil
}

// checkName tells what is wrong with a name that a person chose.
func checkName(name string) error {
	switch {
	case name == "", len(name) > 200:
		return fault.New(fault.Usage, "a name has 1 to 200 bytes, not %d", len(name))
	case strings.ContainsAny(name, "/\\@:\x00\n") || name == "." || name == "..":
		return fault.New(fault.Usage, "the name %q contains a character that names cannot have", name).
			Hint("leave out slashes, colons and @")
	}
	if _, err := hypercrypto.ParseKey(name); err == nil {
		return fault.New(fault.Usage, "the name %q looks like a key", name)
	}
	return nil
}

// cleanName makes a valid name of the last part of a path.
func cleanName(base string) string {
	name := strings.Map(func(c rune) rune {
		if strings.ContainsRune("/\\@:\x00\n", c) {
			return '-'
		}
		return c
	}, base)
	if len(name) > 200 {
		name = name[:200]
	}
	if checkName(name) != nil {
		return "drive"
	}
	return name
}
