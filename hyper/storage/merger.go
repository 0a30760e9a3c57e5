package storage

import (
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// newMerger returns the merge operator of the database: it combines the deltas
// of one page. The part byte of the key says what the page holds.
func newMerger() *pebble.Merger {
	pool := &mergers{}
	return &pebble.Merger{
		Name: "cloudpal.page",
		Merge: func(key, value []byte) (pebble.ValueMerger, error) {
			part := byte(0)
			if len(key) > corePrefixLen && key[0] == tabCore {
				part = key[corePrefixLen]
			}
			switch part {
			case partTree, partBlock:
				m, _ := pool.pages.Get().(*pageMerger)
				if m == nil {
					m = &pageMerger{}
					m.pool = &pool.pages
				}
				m.reset(part)
				return m, m.MergeOlder(value)
			case partBits:
				m, _ := pool.bits.Get().(*bitsMerger)
				if m == nil {
					m = &bitsMerger{pool: &pool.bits}
				}
				m.reset()
				return m, m.MergeOlder(value)
			}
			return nil, fmt.Errorf("%w: merge operand under key %x", ErrCorrupt, key)
		},
	}
}

type mergers struct{ pages, bits sync.Pool }

// pageMerger keeps, for each slot, the newest entry seen.
type pageMerger struct {
	pool     *sync.Pool
	part     byte
	single   bool // only one operand so far
	set, clr uint64
	buf      []byte // operands, one after the other
	out      []byte
	start    [64]uint32 // entry in buf
	size     [64]uint32
	in       page
}

func (m *pageMerger) reset(part byte) {
	m.part, m.set, m.clr, m.buf, m.out = part, 0, 0, m.buf[:0], m.out[:0]
	m.single = true
}

func (m *pageMerger) add(value []byte, take func(slotMask uint64) uint64) error {
	if err := m.in.parse(m.part, value); err != nil {
		return err
	}
	m.single = len(m.buf) == 0
	base := uint32(len(m.buf))
	m.buf = append(m.buf, value...)
	set, clr := take(m.in.set), take(m.in.clr)
	m.set, m.clr = m.set&^clr|set, m.clr&^set|clr
	// Entries are adjacent: one ends where the next begins.
	end := uint32(len(value))
	for all := m.in.set; all != 0; {
		slot := uint(63 - bits.LeadingZeros64(all))
		all &^= 1 << slot
		if has(set, slot) {
			m.start[slot] = base + m.in.off[slot]
			m.size[slot] = end - m.in.off[slot]
		}
		end = m.in.off[slot]
	}
	return nil
}

// MergeNewer implements pebble.ValueMerger.
func (m *pageMerger) MergeNewer(value []byte) error {
	return m.add(value, func(s uint64) uint64 { return s })
}

// MergeOlder implements pebble.ValueMerger.
func (m *pageMerger) MergeOlder(value []byte) error {
	decided := m.set | m.clr
	return m.add(value, func(s uint64) uint64 { return s &^ decided })
}

// Finish implements pebble.ValueMerger. A page in which no slot is left stays as
// an empty one: Pebble 2.1 can remove it at this point, but panics if that was
// the newest of several versions of a key.
func (m *pageMerger) Finish(includesBase bool) ([]byte, io.Closer, error) {
	clr := m.clr
	if includesBase {
		clr = 0
	}
	if m.single && clr == m.clr {
		return m.buf, m, nil
	}
	m.out = appendPageHeader(m.out, m.set, clr)
	for s := m.set; s != 0; s &= s - 1 {
		slot := bits.TrailingZeros64(s)
		m.out = append(m.out, m.buf[m.start[slot]:m.start[slot]+m.size[slot]]...)
	}
	return m.out, m, nil
}

// Close gives the merger back; its result is no longer used.
func (m *pageMerger) Close() error {
	m.in.data = nil
	m.pool.Put(m)
	return nil
}
