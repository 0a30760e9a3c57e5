package storage

import "iter"

// Stats are sizes of a store, in bytes.
type Stats struct {
	Database     int64 // files of the database, log included
	Segments     int64 // segment files, holes not counted where they are known
	SegmentsDead int64 // part of Segments that is still to be reclaimed
	Cores        int   // with a discovery key
	MemTables    int64 // small data in memory, not sorted yet; it is in the log too
	BlockCache   int64

	// What the database has done since it was opened, and how it stands.
	Flushes, Compactions   int64 // since the start
	CacheHits, CacheMisses int64 // since the start
	CompactionDebt         uint64
	ReadAmplification      int   // files that a lookup may have to ask
	LogBytes               int64 // write-ahead log
}

// Stats returns the current sizes.
func (db *DB) Stats() (Stats, error) {
	var s Stats
	if !db.gate.enter() {
		return s, ErrClosed
	}
	defer db.leave()
	m := db.pebble.Metrics()
	s.Database = int64(m.DiskSpaceUsage())
	s.MemTables = int64(m.MemTable.Size)
	s.BlockCache = m.BlockCache.Size
	s.Flushes, s.Compactions = m.Flush.Count, m.Compact.Count
	s.CacheHits, s.CacheMisses = m.BlockCache.Hits, m.BlockCache.Misses
	s.CompactionDebt, s.ReadAmplification, s.LogBytes = m.Compact.EstimatedDebt, m.ReadAmp(), int64(m.WAL.Size)
	err := db.scan(db.pebble, []byte{tabDirectory}, []byte{tabDirectory + 1}, func(_, _ []byte) error {
		s.Cores++
		return nil
	})
	db.segs.mu.RLock()
	defer db.segs.mu.RUnlock()
	for _, g := range db.segs.m {
		s.Segments += g.end
		if g.punched {
			s.Segments -= g.dead
		} else {
			s.SegmentsDead += g.dead
		}
	}
	return s, err
}

// CoreSize is the space of one core, in bytes.
type CoreSize struct {
	Database uint64 // estimate; what is still in memory is not counted
	Segments uint64 // large blocks
}

// Size returns the space the core takes.
func (c *Core) Size() (CoreSize, error) {
	if !c.db.gate.enter() {
		return CoreSize{}, ErrClosed
	}
	defer c.db.leave()
	prefix := appendCoreKey(nil, c.id, 0)[:corePrefixLen]
	n, err := c.db.pebble.EstimateDiskUsage(prefix, prefixEnd(prefix))
	return CoreSize{Database: n, Segments: c.largeBytes()}, fromPebble(err)
}

func (c *Core) largeBytes() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.head.large
}

// allCores yields every core, branches of branches included.
func (db *DB) allCores() iter.Seq2[*Core, error] {
	return func(yield func(*Core, error) bool) {
		var walk func(c *Core) bool
		walk = func(c *Core) bool {
			if !yield(c, nil) {
				return false
			}
			branches, err := c.Branches()
			if err != nil {
				return yield(nil, err)
			}
			for _, b := range branches {
				if !walk(b.Core) {
					return false
				}
			}
			return true
		}
		for c, err := range db.Cores() {
			if err != nil {
				yield(nil, err)
				return
			}
			if !walk(c) {
				return
			}
		}
	}
}
