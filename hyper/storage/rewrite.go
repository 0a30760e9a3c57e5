package storage

import (
	"errors"
	"fmt"
	"io"
)

// rewriteSparse moves the live blocks out of sealed segments that are mostly
// dead where the file system cannot punch holes. Where it can there is nothing
// to gain. runMu must be held.
func (r *reclaimer) rewriteSparse() error {
	s := r.db.segs
	s.mu.RLock()
	var sparse []*segment
	for _, g := range s.m {
		if g.sealed && !g.punched && g.dead > 0 && g.dead*4 >= (g.end-segmentHeaderLen)*3 {
			sparse = append(sparse, g)
		}
	}
	s.mu.RUnlock()
	for _, g := range sparse {
		if err := r.rewrite(g); err != nil {
			return fmt.Errorf("rewrite segment %d: %w", g.id, err)
		}
	}
	return nil
}

// rewrite commits each live block of g again, which puts it into the active
// segment and frees it here.
func (r *reclaimer) rewrite(g *segment) error {
	b := r.db.NewBatch()
	defer b.Close()
	return r.db.eachRecord(g, func(h recordHeader, off int64) error {
		select {
		case <-r.quit:
			return ErrClosed
		default:
		}
		c, err := r.db.coreByID(h.core)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		v := c.live()
		_, at, large, err := v.lookup(uint64(h.index), nil)
		if isNotFound(err) || err == nil && (!large || at.seg != g.id || at.off != off+recordHeaderLen) {
			return nil // dead
		}
		if err != nil {
			return err
		}
		data, err := r.db.segs.read(at, nil)
		if errors.Is(err, ErrCorrupt) {
			return nil // damaged: nothing that could be moved
		}
		if err != nil {
			return err
		}
		b.Reset()
		b.moveBlock(c, uint64(h.index), data, at)
		// The new place must be on disk before the database can say so: the
		// block may long be durable here.
		err = b.Commit(Durable)
		if errors.Is(err, ErrDeleted) || errors.Is(err, errMoved) {
			return nil
		}
		return err
	})
}

// errMoved: the block is not where it was when its move was planned.
var errMoved = errors.New("storage: block was changed")

// moveBlock is PutBlock on condition that the block is still at from.
func (b *Batch) moveBlock(c *Core, i uint64, data []byte, from pointer) {
	b.PutBlock(c, i, data)
	b.ops(c).moved = &from
}

// eachRecord calls fn for the records of a segment whose headers are readable.
func (db *DB) eachRecord(g *segment, fn func(h recordHeader, off int64) error) error {
	db.segs.mu.RLock()
	end := g.end
	db.segs.mu.RUnlock()
	var buf [recordHeaderLen]byte
	for off := int64(segmentHeaderLen); off+recordHeaderLen <= end; {
		if _, err := g.file.ReadAt(buf[:], off); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var h recordHeader
		if !h.decode(buf[:]) {
			next, err := db.nextRecord(g, off+1, end)
			if err != nil {
				return err
			}
			off = next
			continue
		}
		if err := fn(h, off); err != nil {
			return err
		}
		off += recordHeaderLen + int64(h.length)
	}
	return nil
}

// nextRecord finds the next readable header at or after off.
func (db *DB) nextRecord(g *segment, off, end int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for off+recordHeaderLen <= end {
		n, err := g.file.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+recordHeaderLen <= n; i++ {
			var h recordHeader
			if h.decode(buf[i:n]) {
				return off + int64(i), nil
			}
		}
		if n <= recordHeaderLen {
			break
		}
		off += int64(n) - recordHeaderLen + 1
	}
	return end, nil
}
