package foldersync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// compact makes what is in memory small.
func (x *index) compact() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cached, x.cache = -1, nil
	if len(x.recent) < minRecent/16 {
		return nil
	}
	return x.mergeLocked()
}

// mergeLocked writes a new table of everything, with an empty journal.
func (x *index) mergeLocked() error {
	if err := x.durable(); err != nil {
		return fmt.Errorf("make the folder durable: %w", err)
	}
	gen := x.gen + 1
	c := x.cursorLocked("")
	defer c.close()
	temporary := x.tableName(gen) + ".tmp"
	if err := writeTable(temporary, x.notes, c.next); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	journal, err := os.OpenFile(x.journalName(gen), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Rename(temporary, x.tableName(gen)), syncDir(x.dir)); err != nil {
		return errors.Join(err, journal.Close())
	}
	t, err := openTable(x.tableName(gen))
	if err != nil {
		return errors.Join(damaged(err), journal.Close())
	}
	old, oldTable, oldJournal := x.gen, x.table, x.journal
	x.gen, x.table, x.journal, x.count = gen, t, journal, t.count
	x.recent, x.cached, x.cache, x.dirty = make(map[string]*record), -1, nil, false
	oldTable.release()
	_ = oldJournal.Close() // its content is in the table
	for _, name := range []string{x.tableName(old), x.journalName(old)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	x.buf = appendJournal(x.buf[:0], func(b []byte) []byte { return appendText(append(b, journalBoot), x.boot) })
	err = x.flushLocked()
	x.dirty = false
	return err
}

// reset forgets all records and notes.
func (x *index) reset() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.table.release()
	x.table, x.recent, x.notes, x.count = nil, make(map[string]*record), make(map[string][]byte), 0
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
