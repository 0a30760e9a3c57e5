package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// formatVersion is the format this program writes. docs/formats/storage.md
// describes it; testdata holds a store of each version.
const formatVersion = 1

// migrations brings a store of the format before to the format of the index. A
// migration writes to the batch, which is applied together with the new version
// number; it must be able to run again after a crash.
var migrations = [formatVersion + 1]func(db *DB, pb *pebble.Batch) error{}

var formatKey = append([]byte{tabMeta}, "format"...)

// checkFormat refuses newer stores, migrates older ones and marks new ones.
func (db *DB) checkFormat() error {
	v, closer, err := db.pebble.Get(formatKey)
	have := uint64(0)
	switch {
	case err == nil:
		n := 0
		have, n = binary.Uvarint(v)
		closer.Close()
		if n <= 0 || have == 0 {
			return fmt.Errorf("%w: format record", ErrCorrupt)
		}
	case isNotFound(fromPebble(err)):
		have = formatVersion
		if err := db.pebble.Set(formatKey, binary.AppendUvarint(nil, have), nil); err != nil {
			return fmt.Errorf("storage: %w", err)
		}
		return db.syncLog()
	default:
		return fromPebble(err)
	}
	if have > formatVersion {
		return fmt.Errorf("%w: %s has format %d, this program knows %d", ErrNewerFormat, db.dir, have, formatVersion)
	}
	for have < formatVersion {
		have++
		pb := db.pebble.NewBatch()
		if err := migrations[have](db, pb); err != nil {
			return fmt.Errorf("storage: migrate to format %d: %w", have, err)
		}
		if err := pb.Set(formatKey, binary.AppendUvarint(nil, have), nil); err != nil {
			return err
		}
		if err := db.apply(pb); err != nil {
			return err
		}
		if err := db.syncLog(); err != nil {
			return err
		}
	}
	return nil
}
