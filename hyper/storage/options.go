package storage

import (
	"errors"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Limits.
const (
	// MaxBlock is the largest block, in bytes.
	MaxBlock = 1<<28 - 1
	// MaxIndex is the largest block index.
	MaxIndex = 1<<52 - 1
)

// Options configures Open. The zero value is ready to use.
type Options struct {
	// FS is the file system. Default: the operating system's.
	FS vfs.FS
	// CacheSize bounds the cache of database blocks together with the tables of
	// MemTableSize, in bytes. Default 16 MiB.
	CacheSize int64
	// PageCacheSize bounds the cache of pages of blocks and nodes, in bytes.
	// Default 40 MiB: what is here is found ten times as fast. See [DB.Trim].
	PageCacheSize int64
	// MemTableSize is how many bytes of small data gather in memory before they
	// are written out in sorted form. Two such tables stay in memory, while much is
	// written up to four exist. Default 4 MiB.
	MemTableSize int64
	// SegmentSize is the size at which a segment file is closed and the next one
	// begun. Default 256 MiB.
	SegmentSize int64
	// MaxOpenFiles bounds the open files. Default 500.
	MaxOpenFiles int
	// Log receives what the database does in the background; nil discards it.
	Log *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.CacheSize < 0 || c.PageCacheSize < 0 || c.MemTableSize < 0 || c.SegmentSize < 0 || c.MaxOpenFiles < 0 {
		return c, errors.New("storage: negative size in Options")
	}
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.CacheSize, 16<<20)
	def(&c.PageCacheSize, 40<<20)
	def(&c.MemTableSize, 4<<20)
	def(&c.SegmentSize, 256<<20)
	if c.MaxOpenFiles == 0 {
		c.MaxOpenFiles = 500
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
