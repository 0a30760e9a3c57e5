package foldersync

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// compact makes what is in memory small.
func (x *index) compact() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cached, x.cache = -1, nil
	if x.recent.len() < minRecent/16 {
		return nil
	}
	return x.mergeLocked()
}

// mergeLocked writes a new table of everything. Its journal has what is in doubt after a
// power failure, and is durable before the table counts.
func (x *index) mergeLocked() error {
	gen := x.gen + 1
	c := x.cursorLocked("")
	defer c.close()
	temporary := x.tableName(gen) + ".tmp"
	if err := writeTable(temporary, x.notes, c.next); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	journal, err := os.OpenFile(x.journalName(gen), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	doubt := x.inDoubt()
	b := x.appendBoot(nil)
	if len(doubt.put) > 0 {
		b = appendJournal(b, doubt.append)
	}
	if _, err = journal.Write(b); err == nil {
		err = journal.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, x.tableName(gen))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the index: %w", err), journal.Close())
	}
	old := x.gen
	x.gen, x.torn = gen, true // a start would find the new one
	err = syncDir(x.dir)
	var t *table
	if err == nil {
		t, err = openTable(x.tableName(gen))
	}
	if err != nil {
		return errors.Join(damaged(err), journal.Close())
	}
	x.torn = false
	x.table.release()
	_ = x.journal.Close() // its content is in the table
	x.table, x.journal, x.count = t, journal, t.count
	x.buf, x.cached, x.cache, x.dirty = x.buf[:0], -1, nil, len(doubt.put) > 0
	x.recent = newRecent()
	for i := range doubt.put {
		x.recent.set(doubt.put[i].path, &doubt.put[i])
	}
	for _, name := range []string{x.tableName(old), x.journalName(old)} {
		_ = os.Remove(name) // or the next start does it
	}
	return nil
}

// reset forgets all records and notes.
func (x *index) reset() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.table.release()
	x.table, x.recent, x.notes, x.count = nil, newRecent(), make(map[string][]byte), 0
	x.unmarked, x.marking = make(map[string]struct{}), nil
	x.torn = true
	return x.mergeLocked()
}

// removeIndex removes the files of an index in dir.
func removeIndex(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		_, table := generation(d.Name(), "table-")
		_, journal := generation(d.Name(), "journal-")
		if table || journal {
			if err := os.Remove(filepath.Join(dir, d.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// close makes everything durable and ends the use of the index.
func (x *index) close() error {
	err := x.mark()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.journal == nil {
		return nil
	}
	err = errors.Join(err, x.journal.Close())
	x.journal = nil
	x.table.release()
	return err
}

// abandon ends the use of the index as a crash would.
func (x *index) abandon() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.journal != nil {
		_ = x.journal.Close()
		x.journal = nil
		x.table.release()
	}
}
