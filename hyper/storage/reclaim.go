package storage

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// reclaimer gives the space of removed large blocks back. A range that a commit
// frees is on record until it is reclaimed, so that a crash forgets none. It is
// touched only when the commit is on disk and no snapshot from before is open.
type reclaimer struct {
	db   *DB
	wake chan struct{}
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex // guards what follows
	epoch uint64     // grows with every commit that frees something
	pins  map[uint64]int
	queue []pendingDead

	// runMu is held while ranges are reclaimed or segments rewritten.
	runMu sync.Mutex
}

type pendingDead struct {
	deadRange
	epoch uint64
}

func newReclaimer(db *DB) *reclaimer {
	return &reclaimer{
		db: db, epoch: 1, pins: map[uint64]int{},
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// pin keeps everything readable that is readable now.
func (r *reclaimer) pin() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pins[r.epoch]++
	return r.epoch
}

func (r *reclaimer) unpin(epoch uint64) {
	r.mu.Lock()
	if r.pins[epoch]--; r.pins[epoch] == 0 {
		delete(r.pins, epoch)
	}
	waiting := len(r.queue) > 0
	r.mu.Unlock()
	if waiting {
		r.kick()
	}
}

func (r *reclaimer) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// add queues ranges that a commit has freed.
func (r *reclaimer) add(freed []deadRange) {
	if len(freed) == 0 {
		return
	}
	r.mu.Lock()
	for _, f := range freed {
		r.queue = append(r.queue, pendingDead{f, r.epoch})
	}
	r.epoch++
	r.mu.Unlock()
	r.kick()
}

// abandoned queues a range that was written for a batch that was not applied.
func (r *reclaimer) abandoned(d deadRange) { r.add([]deadRange{d}) }

// take returns the queued ranges that no snapshot needs.
func (r *reclaimer) take() (ready []deadRange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := uint64(math.MaxUint64)
	for e := range r.pins {
		oldest = min(oldest, e)
	}
	kept := r.queue[:0]
	for _, p := range r.queue {
		if p.epoch < oldest {
			ready = append(ready, p.deadRange)
		} else {
			kept = append(kept, p)
		}
	}
	r.queue = kept
	return ready
}

// run works until quit is closed.
func (r *reclaimer) run() {
	defer close(r.done)
	for {
		select {
		case <-r.quit:
			return
		case <-r.wake:
			if err := r.work(); err != nil && !errors.Is(err, ErrClosed) {
				r.db.opts.Log.Debug("reclaim", "err", err)
			}
		}
	}
}

// work reclaims what can be and moves watermarks up when that is due.
func (r *reclaimer) work() error {
	r.runMu.Lock()
	defer r.runMu.Unlock()
	if err := r.drain(); err != nil {
		return err
	}
	if db := r.db; db.segs.checkpointDue() {
		if err := db.segs.checkpoint(db); err != nil {
			return err
		}
	}
	return r.rewriteSparse()
}

// drain reclaims the ranges that no snapshot needs. runMu must be held.
func (r *reclaimer) drain() error {
	if err := r.db.failure(); err != nil {
		return err
	}
	ready := r.take()
	if len(ready) == 0 {
		return nil
	}
	return r.reclaim(joinDead(ready))
}

// reclaim punches ranges, then strikes them off the record and deletes the
// segments in which nothing is left.
func (r *reclaimer) reclaim(ready []deadRange) error {
	db := r.db
	// The commits that freed them must be on disk first, with the bytes that may
	// have taken their place.
	if err := db.flush(); err != nil {
		return err
	}
	pb := db.pebble.NewBatch()
	defer pb.Close()
	s := db.segs
	touched := map[uint32]int64{}
	for _, d := range ready {
		g := s.acquire(d.seg)
		if g != nil {
			ok, err := punch(g.file, d.off, d.n)
			s.release(g)
			if err != nil {
				return db.ioError(err)
			}
			s.mu.Lock()
			g.punched = ok
			s.mu.Unlock()
			touched[d.seg] += d.n
		}
		// Adjacent ranges of several commits were joined: strike off all.
		lo, hi := appendSegmentOffsetKey(nil, tabFree, d.seg, d.off), appendSegmentOffsetKey(nil, tabFree, d.seg, d.off+d.n)
		if err := pb.DeleteRange(lo, hi, nil); err != nil {
			return err
		}
	}
	var gone []*segment
	s.mu.Lock()
	for id, n := range touched {
		g := s.m[id]
		if g == nil {
			continue
		}
		g.dead += n
		if g.sealed && g.dead >= g.end-segmentHeaderLen && len(g.inFlight) == 0 {
			gone = append(gone, g)
		}
	}
	s.mu.Unlock()
	for id := range touched {
		s.encodeRecord(pb, id, slices.ContainsFunc(gone, func(g *segment) bool { return g.id == id }))
	}
	if err := db.apply(pb); err != nil {
		return err
	}
	for _, g := range gone {
		s.remove(g)
	}
	return nil
}

// remove deletes the file of a segment in which nothing is left.
func (s *segments) remove(g *segment) {
	s.mu.Lock()
	delete(s.m, g.id)
	delete(s.dirty, g)
	g.removed = true
	last := g.refs == 0
	if s.active == g {
		s.active = nil
	}
	s.mu.Unlock()
	if last {
		g.file.Close()
	}
	// A file that stays behind is deleted at the next open: it has no record.
	_ = s.fs.Remove(s.path(g.id))
}

// segment record: watermark, dead bytes, end (0 while it is written to)
func (s *segments) encodeRecord(pb *pebble.Batch, id uint32, gone bool) {
	key := appendSegmentKey(nil, tabSegment, id)
	if gone {
		_ = pb.Delete(key, nil)
		lo, hi := appendSegmentKey(nil, tabTail, id), prefixEnd(appendSegmentKey(nil, tabTail, id))
		_ = pb.DeleteRange(lo, hi, nil)
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	g := s.m[id]
	if g == nil {
		return
	}
	v := binary.AppendUvarint(nil, uint64(g.durable))
	v = binary.AppendUvarint(v, uint64(g.dead))
	if g.sealed {
		v = binary.AppendUvarint(v, uint64(g.end))
	} else {
		v = binary.AppendUvarint(v, 0)
	}
	_ = pb.Set(key, v, nil)
}

// checkpointBytes is how much may be written to segments before their
// watermarks are moved up: what an unclean open has to read at most.
const checkpointBytes = 64 << 20

func (s *segments) checkpointDue() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.wrote >= checkpointBytes
}

// checkpoint syncs all segments and moves their watermarks up.
func (s *segments) checkpoint(db *DB) error {
	s.mu.Lock()
	s.wrote = 0
	marks := map[*segment]int64{}
	for _, g := range s.m {
		if w := g.lowWater(); w > g.durable {
			marks[g] = w
		}
	}
	s.mu.Unlock()
	if len(marks) == 0 {
		return nil
	}
	if err := s.sync(); err != nil {
		return db.fail(err)
	}
	pb := db.pebble.NewBatch()
	defer pb.Close()
	for g, w := range marks {
		s.mu.Lock()
		g.durable = w
		s.mu.Unlock()
		s.encodeRecord(pb, g.id, false)
		lo, hi := appendSegmentKey(nil, tabTail, g.id), appendSegmentOffsetKey(nil, tabTail, g.id, w)
		if err := pb.DeleteRange(lo, hi, nil); err != nil {
			return err
		}
	}
	return db.apply(pb)
}
