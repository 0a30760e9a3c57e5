package storage

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// DB is one store: all cores of one directory. It is safe for concurrent use.
type DB struct {
	opts    Options
	dir     string
	wal     *storeFS
	lock    *pebble.Lock
	pebble  *pebble.DB
	blocks  *pebble.Cache // of the database
	cache   *pageCache
	above   caches
	segs    *segments
	reclaim *reclaimer
	space   space
	lost    []LostBlocks
	gate    gate
	broken  atomic.Pointer[error]
	failed  chan struct{} // closed when broken is set
	refused atomic.Int64  // writes of tables that failed in a row
	running atomic.Bool   // it is open
	halted  chan struct{} // closed when the database waits for ever for what it does in the background
	halting sync.Once

	applied atomic.Uint64 // commits that took effect
	durable atomic.Uint64 // how many of them are durable for certain
	relaxed atomic.Uint64 // relaxed commits that wrote to segments

	pages   sync.Pool // *page
	batches sync.Pool // *Batch

	mu       sync.Mutex // guards what follows
	cores    map[coreID]weak.Pointer[Core]
	creating map[hypercrypto.DiscoveryKey]struct{}
	nextID   coreID
	states   uint64 // first state of the next Core value
	snaps    map[*Snapshot]struct{}
	closed   bool
	closeErr error
}

// LostBlocks names blocks of a core whose bytes were not on disk any more after
// a crash, although the disk had confirmed that they were. They are not held any
// more.
type LostBlocks struct {
	Core   *Core
	Blocks []uint64
}

// Lost returns what was found missing when the store was opened. It is empty
// unless the disk did not keep what it had confirmed: what a crash takes of
// relaxed commits takes the whole commit. See also [Core.Lost].
func (db *DB) Lost() []LostBlocks { return db.lost }

// Flush makes everything committed so far durable: one group of syncs, shared
// with other callers.
func (db *DB) Flush() error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.leave()
	return db.flush()
}

func (db *DB) flush() error {
	applied := db.applied.Load()
	relaxed := db.relaxed.Load()
	m := db.segs.written()
	if err := db.segs.sync(); err != nil {
		return db.fail(err)
	}
	db.wal.waiters.Add(1)
	defer db.wal.waiters.Add(-1)
	if err := db.pebble.LogData(m.append(nil), pebble.Sync); err != nil {
		return db.fail(err)
	}
	if err := db.syncJoined(relaxed); err != nil {
		return err
	}
	if err := db.failure(); err != nil {
		return err
	}
	db.madeDurable(applied)
	return nil
}

// syncJoined syncs the segments again if relaxed commits got into the log after
// the first sync and before what now is durable there: what comes before a
// durable commit must never be cut off the log. relaxed is db.relaxed from before
// the first sync.
func (db *DB) syncJoined(relaxed uint64) error {
	if db.relaxed.Load() == relaxed {
		return nil
	}
	if err := db.segs.sync(); err != nil {
		return db.fail(err)
	}
	return nil
}

// madeDurable notes that the first n commits are durable.
func (db *DB) madeDurable(n uint64) {
	for {
		old := db.durable.Load()
		if old >= n || db.durable.CompareAndSwap(old, n) {
			return
		}
	}
}

// Synced tells whether all commits that returned are durable.
func (db *DB) Synced() bool { return db.durable.Load() >= db.applied.Load() }

// syncLog makes all applied batches durable, without the segments.
func (db *DB) syncLog() error {
	db.wal.waiters.Add(1)
	defer db.wal.waiters.Add(-1)
	if err := db.pebble.LogData([]byte{0}, pebble.Sync); err != nil {
		return db.fail(err)
	}
	return db.failure()
}

// apply commits a batch of the store's own records.
func (db *DB) apply(pb *pebble.Batch) error {
	if pb.Empty() {
		return nil
	}
	if err := db.failure(); err != nil {
		return err
	}
	if err := db.pebble.Apply(pb, pebble.Sync); err != nil {
		return db.fail(err)
	}
	return db.failure()
}

// fail records that the outcome of a change is unknown.
func (db *DB) fail(err error) error {
	if db.broken.CompareAndSwap(nil, &err) {
		close(db.failed)
	}
	return db.failure()
}

// halt notes that the database waits for ever.
func (db *DB) halt() { db.halting.Do(func() { close(db.halted) }) }

// Failed is closed when the store refuses changes from then on because the disk, or the
// database, failed; Err says why. Nothing that was acknowledged is lost by that. The store
// has to be closed and opened again.
func (db *DB) Failed() <-chan struct{} { return db.failed }

// Err returns why the store refuses changes: an [ErrFailed], nil while it takes them.
func (db *DB) Err() error { return db.failure() }

// failure returns the error of a store that takes no more changes.
func (db *DB) failure() error {
	if e := db.broken.Load(); e != nil {
		return fmt.Errorf("%w: %w", ErrFailed, *e)
	}
	return nil
}

// enter begins an operation that changes the store.
func (db *DB) enter() error {
	if err := db.failure(); err != nil {
		return err
	}
	if !db.gate.enter() {
		return ErrClosed
	}
	return nil
}

func (db *DB) leave() { db.gate.leave() }

// Close writes out what is in memory, makes it durable and closes the store. It
// waits for operations under way; snapshots still open are closed. It may be
// called more than once and returns the first error that may have lost data.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return db.closeErr
	}
	db.closed = true
	snaps := db.snaps
	db.snaps = nil
	db.mu.Unlock()

	close(db.reclaim.quit)
	<-db.reclaim.done
	db.gate.close()
	for s := range snaps {
		s.release()
	}
	var errs []error
	if db.failure() == nil {
		errs = append(errs, db.reclaim.drain(), db.segs.checkpoint(db), db.writeOut())
	} else {
		errs = append(errs, db.failure())
	}
	clean := errors.Join(errs...) == nil
	if err := db.closeDatabase(); err != nil {
		errs, clean = append(errs, err), false
	}
	if clean {
		errs = append(errs, db.wal.removeLogs(db.wal.PathJoin(db.dir, "db")))
	}
	errs = append(errs, db.lock.Close())
	db.closeErr = errors.Join(errs...)
	return db.closeErr
}

// writeOut writes what is in memory to tables, so that no log is needed. It gives up if
// the disk refuses.
func (db *DB) writeOut() error {
	done, err := db.pebble.AsyncFlush()
	if err != nil {
		return fromPebble(err)
	}
	for {
		select {
		case <-done:
			return nil
		case <-db.failed:
			return db.failure()
		case <-time.After(4 * retryPause):
			if db.refused.Load() > 0 {
				return errTables
			}
		}
	}
}

// closeDatabase closes everything but the lock.
func (db *DB) closeDatabase() error {
	var errs []error
	if db.pebble != nil {
		errs = append(errs, db.closePebble())
	}
	if db.blocks != nil {
		db.blocks.Unref()
	}
	if db.segs != nil {
		errs = append(errs, db.segs.close())
	}
	return errors.Join(errs...)
}

// closePebble closes the database, or leaves it to the end of the process if it would
// wait for ever.
func (db *DB) closePebble() error {
	closed := make(chan error, 1)
	select {
	case <-db.halted:
		return nil
	default:
	}
	go func() { closed <- db.pebble.Close() }()
	select {
	case err := <-closed:
		return err
	case <-db.halted:
		return nil
	}
}

// scan calls fn for the records with keys in [lower, upper).
func (db *DB) scan(r pebble.Reader, lower, upper []byte, fn func(key, value []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fromPebble(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = fn(it.Key(), v)
		}
		if err != nil {
			return errors.Join(fromPebble(err), it.Close())
		}
	}
	return fromPebble(errors.Join(it.Error(), it.Close()))
}

// gate lets operations in until it is closed, which waits for those inside.
// Operations may nest.
type gate struct {
	n    atomic.Int64
	done chan struct{}
}

const gateClosed = -1 << 62

func (g *gate) enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.n.Add(-1) == gateClosed {
		select {
		case g.done <- struct{}{}:
		default:
		}
	}
}

func (g *gate) close() {
	if g.n.Add(gateClosed) == gateClosed {
		return
	}
	for g.n.Load() != gateClosed {
		<-g.done
	}
}

// space keeps commits from filling the disk to the last byte: the log could not
// be written any more, with an unknown outcome.
type space struct {
	fs      vfs.FS
	dir     string
	reserve int64

	mu   sync.Mutex
	left int64 // bytes that may be written before looking again
}

// take asks for n bytes.
func (s *space) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left >= n {
		s.left -= n
		return nil
	}
	du, err := s.fs.GetDiskUsage(s.dir)
	if err != nil || du.TotalBytes == 0 {
		s.left = 1 << 30 // unknown
		return nil
	}
	avail := int64(min(du.AvailBytes, 1<<60)) - s.reserve
	if avail < n {
		s.left = 0
		return fmt.Errorf("%w: %d bytes left on the disk of %s", ErrFull, du.AvailBytes, s.dir)
	}
	s.left = min(avail-n, 64<<20)
	return nil
}
