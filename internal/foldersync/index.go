package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// index is what disk and tree last agreed on, by path. It is a table, which does not
// change, and what changed since, which is in memory and in a journal. When that is
// much, both become a new table.
//
// A change counts after a crash of the process as soon as it was made. After a power
// failure those since the last mark are in doubt: the file may not be what it was.
type index struct {
	dir     string
	boot    string
	durable func() error // makes all that was written to the folder durable
	marks   sync.Mutex   // held while a mark is made

	mu      sync.Mutex
	gen     uint64
	table   *table // nil: none yet
	recent  recent
	count   int
	notes   map[string][]byte
	journal *os.File
	buf     []byte
	dirty   bool // there is something since the last mark
	// torn says that what is on disk is not what the journal goes on from, or not for
	// certain: a new table is written before anything else counts.
	torn bool
	// unmarked are the files that were noted since the last mark, marking those that the
	// one that is being made is about. Both are in doubt after a power failure.
	unmarked, marking map[string]struct{}
	cached            int // the block of table that cache holds, -1 for none
	cache             []record
	large             map[uint64]struct{} // the sizes of large contents, of some that are gone too
}

// Limits of what is kept in memory: so many changes, and no more than a part of the table.
const (
	minRecent  = 1 << 15
	recentPart = 8
)

// openIndex opens the index in dir, which is made if need be. A damaged index is an
// error that wraps errDamaged.
func openIndex(dir, boot string, durable func() error) (*index, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	x := &index{dir: dir, boot: boot, durable: durable, recent: newRecent(), unmarked: make(map[string]struct{}), notes: make(map[string][]byte), cached: -1, large: make(map[uint64]struct{})}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if gen, ok := generation(d.Name(), "table-"); ok && gen > x.gen {
			x.gen = gen
		}
	}
	for _, d := range list {
		table, isTable := generation(d.Name(), "table-")
		journal, isJournal := generation(d.Name(), "journal-")
		if isTable && table != x.gen || isJournal && journal != x.gen || strings.HasSuffix(d.Name(), ".tmp") {
			if err := os.Remove(filepath.Join(dir, d.Name())); err != nil {
				return nil, err
			}
		}
	}
	if x.gen > 0 {
		t, err := openTable(x.tableName(x.gen))
		if err != nil {
			return nil, damaged(err)
		}
		x.table, x.count = t, t.count
		for k, v := range t.notes {
			x.notes[k] = v
		}
	}
	if err := x.replay(); err != nil {
		x.table.release()
		return nil, err
	}
	return x, nil
}

var errDamaged = errors.New("the index is damaged")

func damaged(err error) error {
	if errors.Is(err, errTable) || errors.Is(err, errRecord) || errors.Is(err, errJournal) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

func generation(name, prefix string) (uint64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	gen, err := strconv.ParseUint(rest, 10, 63)
	return gen, err == nil
}

func (x *index) tableName(gen uint64) string {
	return filepath.Join(x.dir, fmt.Sprintf("table-%d", gen))
}

func (x *index) journalName(gen uint64) string {
	return filepath.Join(x.dir, fmt.Sprintf("journal-%d", gen))
}

// replay takes in the journal, and cuts what a crash left at its end.
func (x *index) replay() error {
	f, err := os.OpenFile(x.journalName(x.gen), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var boot string
	length, err := readJournal(f, func(e journalEntry) {
		switch e.op {
		case journalPut:
			r := e.record
			x.setLocked(r.path, &r)
		case journalDelete:
			x.setLocked(e.record.path, nil)
		case journalNote:
			x.noteLocked(e.key, e.value)
		case journalMark:
			clear(x.unmarked)
		case journalBoot:
			boot = e.key
		}
	})
	if err == nil {
		err = f.Truncate(length)
	}
	if err == nil {
		_, err = f.Seek(length, 0)
	}
	if err != nil {
		return errors.Join(damaged(err), f.Close())
	}
	doubted := boot != "" && (boot != x.boot || x.boot == "")
	if doubted {
		for path := range x.unmarked {
			if r, _ := x.recent.get(path); r != nil {
				r.unsure = true
			}
		}
	}
	x.journal, x.dirty = f, len(x.unmarked) > 0
	x.buf = x.appendBoot(nil)
	if u := x.inDoubt(); doubted && len(u.put) > 0 {
		x.buf = appendJournal(x.buf, u.append) // whatever is marked from now on
	}
	return x.flushLocked()
}

func (x *index) appendBoot(b []byte) []byte {
	return appendJournal(b, func(b []byte) []byte { return appendText(append(b, journalBoot), x.boot) })
}

// inDoubt returns the files that are.
func (x *index) inDoubt() (u update) {
	for _, set := range []map[string]struct{}{x.unmarked, x.marking} {
		for path := range set {
			if r, _ := x.recent.get(path); r != nil && r.kind == kindFile {
				u.put = append(u.put, *r)
			}
		}
	}
	return u
}

func (x *index) setLocked(path string, r *record) {
	if old, known := x.recent.get(path); !known {
		if _, ok, _ := x.inTableLocked(path); ok { // an error shows when it is read in earnest
			x.count--
		}
	} else if old != nil {
		x.count--
	}
	if r != nil {
		x.count++
	}
	x.recent.set(path, r)
	if r != nil && r.kind == kindFile {
		x.unmarked[path] = struct{}{}
	} else {
		delete(x.unmarked, path)
	}
	x.noteSizeLocked(r)
}

func (x *index) noteSizeLocked(r *record) {
	if r != nil && r.kind == kindFile && r.stat.size > smallSize {
		x.large[r.stat.size] = struct{}{}
	}
}

func (x *index) noteSize(r *record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noteSizeLocked(r)
}

// hasSize tells whether there may be a large content of a size.
func (x *index) hasSize(size uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.large[size]
	return ok
}

func (x *index) noteLocked(key string, value []byte) {
	if len(value) == 0 {
		delete(x.notes, key)
		return
	}
	x.notes[key] = value
}

// get returns the record of a path.
func (x *index) get(path string) (record, bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r, ok := x.recent.get(path); ok {
		if r == nil {
			return record{}, false, nil
		}
		return *r, true, nil
	}
	return x.inTableLocked(path)
}

func (x *index) inTableLocked(path string) (record, bool, error) {
	if x.table == nil {
		return record{}, false, nil
	}
	i := x.table.find(path)
	if i < 0 {
		return record{}, false, nil
	}
	if i != x.cached {
		records, err := x.table.block(i)
		if err != nil {
			return record{}, false, damaged(err)
		}
		x.cached, x.cache = i, records
	}
	at, ok := slices.BinarySearchFunc(x.cache, path, func(r record, p string) int { return compare(r.path, p) })
	if !ok {
		return record{}, false, nil
	}
	return x.cache[at], true, nil
}

// update is a set of changes to the index that are written together, deletions first.
type update struct {
	delete []string
	put    []record
	notes  map[string][]byte
}

// append encodes the update for the journal.
func (u *update) append(b []byte) []byte {
	for _, path := range u.delete {
		b = appendText(append(b, journalDelete), path)
	}
	for i := range u.put {
		b = u.put[i].append(appendText(append(b, journalPut), u.put[i].path))
	}
	for k, v := range u.notes {
		b = appendText(appendText(append(b, journalNote), k), string(v))
	}
	return b
}

// apply makes changes, all or none.
func (x *index) apply(u update) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.journal == nil {
		return fs.ErrClosed
	}
	for _, path := range u.delete {
		x.setLocked(path, nil)
	}
	for i := range u.put {
		r := u.put[i]
		x.setLocked(r.path, &r)
	}
	for k, v := range u.notes {
		x.noteLocked(k, v)
	}
	if len(u.put)+len(u.delete)+len(u.notes) == 0 {
		return nil
	}
	x.buf = appendJournal(x.buf, u.append)
	if err := x.flushLocked(); err != nil {
		return err
	}
	limit := max(minRecent, x.count/recentPart)
	if len(x.unmarked) > 2*limit {
		// Nobody marks, or not often enough.
		if err := x.durable(); err != nil {
			return fmt.Errorf("make the folder durable: %w", err)
		}
		clear(x.unmarked)
	}
	if x.recent.len()-len(x.unmarked)-len(x.marking) > limit {
		return x.mergeLocked()
	}
	return nil
}

func (x *index) flushLocked() (err error) {
	if len(x.buf) == 0 {
		return nil
	}
	x.dirty = true
	if !x.torn {
		_, err = x.journal.Write(x.buf)
		x.torn = err != nil // half an entry would hide those behind it
	}
	x.buf = x.buf[:0]
	if !x.torn {
		return nil
	}
	if e := x.mergeLocked(); e != nil {
		return errors.Join(err, e)
	}
	return nil
}

// note returns a value that was stored beside the records.
func (x *index) note(key string) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.notes[key]
}

// len returns the number of records.
func (x *index) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count
}

// mark makes everything durable: what is on disk, then what the index says of it.
func (x *index) mark() error {
	x.marks.Lock()
	defer x.marks.Unlock()
	x.mu.Lock()
	dirty := x.dirty
	if dirty {
		x.marking, x.unmarked = x.unmarked, make(map[string]struct{})
	}
	x.mu.Unlock()
	if !dirty {
		return nil
	}
	err := x.durable()
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil && x.journal == nil {
		err = fs.ErrClosed
	}
	if err != nil {
		maps.Copy(x.unmarked, x.marking)
		x.marking = nil
		return fmt.Errorf("make the folder durable: %w", err)
	}
	x.marking = nil
	x.buf = appendJournal(x.buf, func(b []byte) []byte { return append(b, journalMark) })
	if u := x.inDoubt(); len(u.put) > 0 { // what came meanwhile
		x.buf = appendJournal(x.buf, u.append)
	}
	if err := x.flushLocked(); err != nil {
		return err
	}
	x.dirty = len(x.unmarked) > 0
	x.buf = nil // it may have become large
	if err := x.journal.Sync(); err != nil {
		// The system may have dropped what it could not write, and does not say so again.
		x.torn, x.dirty = true, true
		return fmt.Errorf("write the index: %w", err)
	}
	return nil
}
