package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// recoverSegments opens the segment files and brings them in step with the
// database. What was written after the last watermark is looked at block by
// block: a block that the database knows but whose bytes are not there is
// removed, and bytes that the database does not know are given back. Since
// logTail has seen to it that the database only knows what was synced, the
// former takes a disk that fails.
func (db *DB) recoverSegments() error {
	if err := db.openSegments(); err != nil {
		return err
	}
	if err := db.checkTails(); err != nil {
		return err
	}
	return db.loadFree()
}

// openSegments opens all files and reads their records.
func (db *DB) openSegments() error {
	s := db.segs
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	sort.Strings(names)
	for _, name := range names {
		hex, ok := strings.CutSuffix(name, ".seg")
		id, err := strconv.ParseUint(hex, 16, 32)
		if !ok || err != nil || segmentName(uint32(id)) != name {
			continue
		}
		f, err := s.fs.OpenReadWrite(s.path(uint32(id)), diskCategory)
		if err != nil {
			return err
		}
		g := &segment{id: uint32(id), file: f, inFlight: map[int64]struct{}{}, sealed: true}
		s.m[g.id] = g
		s.next = g.id + 1
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		g.end = max(fi.Size(), segmentHeaderLen)
		g.durable = segmentHeaderLen
	}
	recorded := map[uint32]bool{}
	err = db.records(tabSegment, func(key, value []byte) error {
		if len(key) != 5 {
			return fmt.Errorf("%w: segment record", ErrCorrupt)
		}
		id := binary.BigEndian.Uint32(key[1:])
		durable, n := binary.Uvarint(value)
		if n <= 0 {
			return fmt.Errorf("%w: segment record", ErrCorrupt)
		}
		dead, m := binary.Uvarint(value[n:])
		if m <= 0 {
			return fmt.Errorf("%w: segment record", ErrCorrupt)
		}
		end, k := binary.Uvarint(value[n+m:])
		if k <= 0 {
			return fmt.Errorf("%w: segment record", ErrCorrupt)
		}
		s.next = max(s.next, id+1)
		g := s.m[id]
		if g == nil {
			return nil // deleted; the record is dropped with its last free range
		}
		recorded[id] = true
		g.durable, g.dead = int64(durable), int64(dead)
		g.end = max(g.end, g.durable, int64(end))
		return nil
	})
	if err != nil {
		return err
	}
	// Go on in the newest segment if there is room.
	if g := s.m[s.next-1]; g != nil && g.end < s.size {
		g.sealed = false
		s.active = g
	}
	return nil
}

// known is a range of a segment that a tail record tells of.
type known struct{ off, end int64 }

// checkTails goes through the tail records.
func (db *DB) checkTails() error {
	s := db.segs
	ranges := map[uint32][]known{}
	lost := map[coreID][]uint64{}
	any := false
	err := db.records(tabTail, func(key, value []byte) error {
		if len(key) != 11 {
			return fmt.Errorf("%w: tail record", ErrCorrupt)
		}
		any = true
		seg, off := binary.BigEndian.Uint32(key[1:]), int64(uint48(key[5:]))
		at := off
		err := eachTail(key, value, func(b tailBlock) error {
			at = b.ptr.end()
			ok, err := db.blockIntact(b)
			if err == nil && !ok {
				lost[b.core] = append(lost[b.core], b.index)
			}
			return err
		})
		ranges[seg] = append(ranges[seg], known{off, at})
		return err
	})
	if err != nil {
		return err
	}
	if err := db.dropLost(lost); err != nil {
		return err
	}
	// What lies between is of batches that were never applied.
	for id, g := range s.m {
		at := g.durable
		for _, k := range append(ranges[id], known{g.end, g.end}) {
			if k.off > at {
				db.reclaim.abandoned(deadRange{id, at, k.off - at})
			}
			at = max(at, k.end)
		}
		g.end = max(g.end, at)
		if at > g.durable {
			any = true
		}
	}
	if !any {
		return nil
	}
	return s.checkpoint(db)
}

// tailBlock is a block that a tail record tells of.
type tailBlock struct {
	core  coreID
	index uint64
	ptr   pointer
}

// eachTail calls fn for the blocks that a tail record tells of.
func eachTail(key, value []byte, fn func(tailBlock) error) error {
	seg, off := binary.BigEndian.Uint32(key[1:]), int64(uint48(key[5:]))
	for len(value) > 0 {
		var f [3]uint64
		for i := range f {
			n := 0
			if f[i], n = binary.Uvarint(value); n <= 0 {
				return fmt.Errorf("%w: tail record", ErrCorrupt)
			}
			value = value[n:]
		}
		if len(value) < 4 {
			return fmt.Errorf("%w: tail record", ErrCorrupt)
		}
		b := tailBlock{coreID(f[0]), f[1], pointer{seg: seg, off: off + recordHeaderLen, length: uint32(f[2]), crc: binary.BigEndian.Uint32(value)}}
		value = value[4:]
		if err := fn(b); err != nil {
			return err
		}
		off = b.ptr.end()
	}
	return nil
}

// blockIntact is false if the database has the block at this place but its bytes
// are not there.
func (db *DB) blockIntact(b tailBlock) (bool, error) {
	v := (&Core{db: db, id: b.core}).live()
	_, ptr, large, err := v.lookup(b.index, nil)
	if isNotFound(err) || err == nil && (!large || ptr.seg != b.ptr.seg || ptr.off != b.ptr.off) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, err = db.segs.read(ptr, nil)
	if errors.Is(err, ErrCorrupt) {
		return false, nil
	}
	return err == nil, err
}

// dropLost removes blocks whose bytes are gone and reports them.
func (db *DB) dropLost(lost map[coreID][]uint64) error {
	if len(lost) == 0 {
		return nil
	}
	b := db.NewBatch()
	defer b.Close()
	for id, blocks := range lost {
		c, err := db.coreByID(id)
		if err != nil {
			return err
		}
		sort.Slice(blocks, func(i, j int) bool { return blocks[i] < blocks[j] })
		for _, i := range blocks {
			b.ClearBlocks(c, i, i+1)
		}
		if err := b.noteLost(c, blocks); err != nil {
			return err
		}
		db.lost = append(db.lost, LostBlocks{Core: c, Blocks: blocks})
	}
	sort.Slice(db.lost, func(i, j int) bool { return db.lost[i].Core.id < db.lost[j].Core.id })
	return b.Commit(Durable)
}

// loadFree queues the ranges that were freed and not reclaimed.
func (db *DB) loadFree() error {
	var freed []deadRange
	err := db.records(tabFree, func(key, value []byte) error {
		n, k := binary.Uvarint(value)
		if len(key) != 11 || k <= 0 || n > 1<<48 {
			return fmt.Errorf("%w: free record", ErrCorrupt)
		}
		freed = append(freed, deadRange{binary.BigEndian.Uint32(key[1:]), int64(uint48(key[5:])), int64(n)})
		return nil
	})
	if err != nil {
		return err
	}
	// A range freed while recovering is queued already.
	r := db.reclaim
	r.mu.Lock()
	queued := map[deadRange]bool{}
	for _, q := range r.queue {
		queued[q.deadRange] = true
	}
	r.mu.Unlock()
	for _, f := range freed {
		if !queued[f] {
			r.add([]deadRange{f})
		}
	}
	return nil
}
