package storage

import "iter"

// StoredBlock is one block of a scan. Data is valid until the next step.
type StoredBlock struct {
	Index uint64
	Data  []byte
}

// BlocksFrom yields the held blocks of [start, end) in order, as they are when
// the scan begins. After an error it stops.
func (c *Core) BlocksFrom(start, end uint64) iter.Seq2[StoredBlock, error] {
	return func(yield func(StoredBlock, error) bool) {
		s, err := c.Snapshot()
		if err != nil {
			yield(StoredBlock{}, err)
			return
		}
		defer s.Close()
		for b, err := range s.BlocksFrom(start, end) {
			if !yield(b, err) {
				return
			}
		}
	}
}

// BlocksFrom is like [Core.BlocksFrom].
func (s *Snapshot) BlocksFrom(start, end uint64) iter.Seq2[StoredBlock, error] {
	return func(yield func(StoredBlock, error) bool) {
		end = min(end, MaxIndex+1)
		if start >= end {
			return
		}
		db := s.v.core.db
		if !db.gate.enter() {
			yield(StoredBlock{}, ErrClosed)
			return
		}
		defer db.leave()
		stopped := false
		var buf []byte
		err := s.v.core.eachBlockPage(s.snap, start, end, func(first uint64, p *page) error {
			for slot := range uint(blockSlots) {
				i := first + uint64(slot)
				if i < start || i >= end || !has(p.set, slot) {
					continue
				}
				data, ptr, large := p.block(slot)
				if large {
					var err error
					if buf, err = db.segs.read(ptr, buf[:0]); err != nil {
						return err
					}
					data = buf
				}
				if !yield(StoredBlock{i, data}, nil) {
					stopped = true
					return errStop
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(StoredBlock{}, err)
		}
	}
}
