package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"weak"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Open opens the store in dir, or creates it. It returns a *LockedError if it is
// open elsewhere. After an unclean end it repairs what can be; see [DB.Lost].
func Open(dir string, opts *Options) (*DB, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	db := &DB{
		opts: o, dir: dir,
		cache:    newPageCache(o.PageCacheSize),
		cores:    map[coreID]weak.Pointer[Core]{},
		creating: map[hypercrypto.DiscoveryKey]struct{}{},
		states:   2,
		failed:   make(chan struct{}),
		halted:   make(chan struct{}),
		snaps:    map[*Snapshot]struct{}{},
	}
	joinFreed()
	db.gate.done = make(chan struct{}, 1)
	db.wal = &storeFS{FS: o.FS, broken: func(err error) { db.fail(err) }}
	db.reclaim = newReclaimer(db)
	db.space = space{fs: o.FS, dir: dir, reserve: 8 * o.MemTableSize}
	fs := db.wal
	dbDir, segDir := fs.PathJoin(dir, "db"), fs.PathJoin(dir, "segments")
	fs.dir = dbDir
	if err := prepareDirs(fs, dir, dbDir, segDir); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if db.lock, err = lockStore(fs, dbDir); err != nil {
		var locked *LockedError
		if errors.As(err, &locked) {
			locked.Dir = dir
		}
		return nil, err
	}
	if err := db.open(dbDir, segDir); err != nil {
		return nil, errors.Join(err, db.closeDatabase(), db.lock.Close())
	}
	db.running.Store(true)
	db.reclaim.kick() // for what a crash left to do
	go db.reclaim.run()
	return db, nil
}

func (db *DB) open(dbDir, segDir string) (err error) {
	po := db.pebbleOptions()
	db.blocks = po.Cache
	db.wal.tail = &logTail{fs: db.opts.FS, logDir: dbDir, segDir: segDir}
	if err := db.openPebble(dbDir, po); err != nil {
		return fmt.Errorf("storage: open %s: %w", db.dir, err)
	}
	if err := db.checkFormat(); err != nil {
		return err
	}
	if err := db.loadNextID(); err != nil {
		return err
	}
	db.segs = &segments{fs: db.wal, dir: segDir, size: db.opts.SegmentSize, m: map[uint32]*segment{}, next: 1,
		dirty: map[*segment]struct{}{}, writing: map[mark]struct{}{}}
	db.wal.segs.Store(db.segs)
	if err := db.recoverSegments(); err != nil {
		return fmt.Errorf("storage: recover %s: %w", db.dir, err)
	}
	return nil
}

// openPebble opens the database, or leaves it to the end of the process if it would wait for
// ever for a disk that fails.
func (db *DB) openPebble(dir string, po *pebble.Options) error {
	opened := make(chan error, 1)
	var p *pebble.DB
	go func() {
		var err error
		p, err = pebble.Open(dir, po)
		opened <- err
	}()
	select {
	case err := <-opened:
		if db.pebble = p; err != nil && db.failure() == nil {
			return fromPebble(err)
		}
	case <-db.halted:
		db.wal.failed.Store(true) // what is on disk stays what it is
	}
	return db.failure()
}

func prepareDirs(fs *storeFS, dir, dbDir, segDir string) error {
	_, err := fs.Stat(segDir)
	if err == nil {
		// A crash may have left one of the two.
		if _, err = fs.Stat(dbDir); err == nil {
			return nil
		}
	}
	for _, d := range []string{dbDir, segDir} {
		if err := fs.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	for _, d := range []string{dir, fs.PathDir(dir)} {
		if err := syncDir(fs, d); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) pebbleOptions() *pebble.Options {
	o := db.opts
	po := &pebble.Options{
		FS:    db.wal,
		Lock:  db.lock,
		Cache: pebble.NewCache(o.CacheSize),
		// The versions above this one write into the log how far it was synced,
		// and take a gap before that point for corruption. Skipped syncs make
		// that statement false.
		FormatMajorVersion:          pebble.FormatColumnarBlocks,
		MemTableSize:                uint64(o.MemTableSize),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       16,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               256 << 20,
		MaxOpenFiles:                o.MaxOpenFiles,
		Merger:                      newMerger(),
		Logger:                      pebbleLog{db},
		EventListener: &pebble.EventListener{
			BackgroundError: db.background,
			FlushEnd: func(i pebble.FlushInfo) {
				if i.Err == nil {
					db.refused.Store(0)
				}
			},
		},
	}
	po.Experimental.CompactionScheduler = newScheduler()
	for i := range po.Levels {
		po.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// A page of blocks is read alone. A small index is one block: looking
		// into a second one costs more than its size saves.
		po.Levels[i].BlockSize = 2 << 10
		po.Levels[i].IndexBlockSize = 256 << 10
	}
	return po
}

// pebbleLog passes Pebble's messages on. What Pebble calls fatal would end the
// process; here it ends changes to the store, and where Pebble cannot go on, the
// goroutine that wrote tables: what is in memory stays readable.
type pebbleLog struct{ db *DB }

func (l pebbleLog) Infof(format string, args ...any) { l.log(slog.LevelDebug, format, args) }

func (l pebbleLog) Errorf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }

func (l pebbleLog) Fatalf(format string, args ...any) {
	err := &fatalError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err.causes = append(err.causes, cause)
		}
	}
	l.db.fail(err)
	if strings.HasPrefix(err.text, "MANIFEST") {
		l.db.halt()
		runtime.Goexit()
	}
}

// fatalError is what Pebble would end the process with.
type fatalError struct {
	text   string
	causes []error
}

func (e *fatalError) Error() string   { return e.text }
func (e *fatalError) Unwrap() []error { return e.causes }

func (l pebbleLog) log(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if log := l.db.opts.Log; log.Enabled(ctx, level) {
		log.Log(ctx, level, "database", "msg", fmt.Sprintf(format, args...))
	}
}
