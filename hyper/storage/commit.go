package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// Commit applies the batch and, if it succeeds, resets it. It returns when the
// batch is as safe as mode says. Readers may see the changes slightly earlier.
//
// After ErrFull nothing was applied and the batch may be committed again. After
// any other error of the file system during Commit it is unknown whether the
// batch will be there when the store is opened again, and the DB takes no
// further changes (ErrFailed).
func (b *Batch) Commit(mode Mode) error {
	if b.err != nil {
		return b.err
	}
	if b.Empty() {
		return nil
	}
	db := b.db
	if err := db.enter(); err != nil {
		return err
	}
	defer db.leave()
	slices.SortFunc(b.cores, func(x, y *coreOps) int { return int(int64(x.core.id) - int64(y.core.id)) })
	for _, o := range b.cores {
		o.core.writeMu.Lock()
	}
	locked := true
	unlock := func() {
		if locked {
			locked = false
			for _, o := range b.cores {
				o.core.writeMu.Unlock()
			}
		}
	}
	defer unlock()

	for _, o := range b.cores {
		if o.core.deleted {
			return ErrDeleted
		}
		if err := o.plan(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	if b.pb == nil {
		b.pb = db.pebble.NewBatch()
	}
	b.pb.Reset()
	seg, off, total, err := b.writeLarge()
	if err != nil {
		return err
	}
	if seg != nil {
		defer db.segs.finish(seg, off)
		if db.segs.checkpointDue() {
			db.reclaim.kick()
		}
	}
	abandon := func() {
		if seg != nil {
			db.reclaim.abandoned(deadRange{seg.id, off, total})
		}
	}
	if err := db.space.take(int64(b.pb.Len()) + b.size()); err != nil {
		abandon()
		return err
	}
	freed, err := b.encode()
	if err != nil {
		abandon()
		return fmt.Errorf("commit: %w", err)
	}
	applied := db.applied.Load()
	if mode == Relaxed && seg != nil {
		db.relaxed.Add(1)
	}
	relaxed := db.relaxed.Load()
	if mode == Durable {
		m := db.segs.written()
		if err := db.segs.sync(); err != nil {
			return db.fail(err)
		}
		if err := b.pb.LogData(m.append(nil), nil); err != nil {
			return db.fail(err)
		}
		db.wal.waiters.Add(1)
		defer db.wal.waiters.Add(-1)
	}
	for _, o := range b.cores {
		o.core.state.Add(1)
	}
	err = db.pebble.ApplyNoSyncWait(b.pb, pebble.Sync)
	db.reclaim.add(freed)
	for _, o := range b.cores {
		b.invalidate(o)
		o.publish()
		o.core.state.Add(1)
	}
	db.applied.Add(1)
	if err != nil {
		return db.fail(err)
	}
	unlock()
	if mode == Durable {
		err = db.syncJoined(relaxed)
	}
	err = errors.Join(err, b.pb.SyncWait()) // in any case
	if err != nil {
		// The database may still hold the batch.
		b.pb = nil
		return db.fail(err)
	}
	if err := db.failure(); err != nil {
		return err
	}
	if mode == Durable {
		db.madeDurable(applied + 1)
	}
	b.Reset()
	return nil
}

// size estimates the bytes the batch adds to the database.
func (b *Batch) size() (n int64) {
	for _, o := range b.cores {
		for i := range o.blocks {
			if !o.blocks[i].large {
				n += int64(len(o.blocks[i].data))
			}
		}
		n += int64(len(o.blocks))*8 + int64(len(o.nodes))*64*36 + 256
	}
	return n
}

func (b *Batch) invalidate(o *coreOps) {
	cache := b.db.cache
	if len(o.cuts)+len(o.nodeCut) > 0 || o.deleted {
		id := o.core.id
		cache.dropIf(func(k pageKey) bool { return k.core == id })
		return
	}
	for _, k := range o.touched {
		cache.drop(k)
	}
}

// writeLarge writes the large blocks of the batch to the active segment, in one
// go, and the record of what was written there into the database batch.
func (b *Batch) writeLarge() (seg *segment, off, total int64, err error) {
	n := 0
	for _, o := range b.cores {
		for i := range o.blocks {
			if o.blocks[i].large {
				total += recordHeaderLen + int64(len(o.blocks[i].data))
				n++
			}
		}
	}
	if n == 0 {
		return nil, 0, 0, nil
	}
	db := b.db
	if err := db.space.take(total); err != nil {
		return nil, 0, 0, err
	}
	seg, off, err = db.segs.reserve(total)
	if err != nil {
		return nil, 0, 0, db.ioError(err)
	}
	b.heads = slices.Grow(b.heads[:0], n*recordHeaderLen)
	b.chunks = b.chunks[:0]
	var tail []byte // what follows at off: core, index, length, CRC of each block
	at := off
	for _, o := range b.cores {
		for i := range o.blocks {
			p := &o.blocks[i]
			if !p.large {
				continue
			}
			h := recordHeader{core: o.core.id & recordCoreMask, index: uint32(p.index), length: uint32(len(p.data))}
			p.ptr = pointer{seg: seg.id, off: at + recordHeaderLen, length: h.length, crc: crc32.Checksum(p.data, castagnoli)}
			start := len(b.heads)
			b.heads = h.append(b.heads)
			b.chunks = append(b.chunks, b.heads[start:], p.data)
			at += recordHeaderLen + int64(h.length)
			tail = binary.AppendUvarint(tail, uint64(o.core.id))
			tail = binary.AppendUvarint(tail, p.index)
			tail = binary.AppendUvarint(tail, uint64(h.length))
			tail = binary.BigEndian.AppendUint32(tail, p.ptr.crc)
		}
	}
	err = db.segs.write(seg, b.chunks, off)
	clear(b.chunks)
	if err != nil {
		db.segs.finish(seg, off)
		db.reclaim.abandoned(deadRange{seg.id, off, total})
		return nil, 0, 0, db.ioError(fmt.Errorf("write segment %d: %w", seg.id, err))
	}
	return seg, off, total, b.pb.Set(appendSegmentOffsetKey(nil, tabTail, seg.id, off), tail, nil)
}

// encode fills the database batch and returns what it frees.
func (b *Batch) encode() ([]deadRange, error) {
	for _, r := range b.records {
		var err error
		if r.del {
			err = b.pb.Delete(r.key, nil)
		} else {
			err = b.pb.Set(r.key, r.value, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	var freed []deadRange
	for _, o := range b.cores {
		if err := o.encode(b.pb); err != nil {
			return nil, err
		}
		freed = append(freed, o.freed...)
	}
	freed = joinDead(freed)
	for _, f := range freed {
		if err := b.pb.Set(appendSegmentOffsetKey(nil, tabFree, f.seg, f.off), binary.AppendUvarint(nil, uint64(f.n)), nil); err != nil {
			return nil, err
		}
	}
	return freed, nil
}

// ioError maps a failed write that left the database untouched.
func (db *DB) ioError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %v", ErrFull, err)
	}
	return fmt.Errorf("storage: %w", err)
}
