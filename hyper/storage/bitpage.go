package storage

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/tradle/cloudpal/hyper/internal/bitfield"
)

// Bit pages hold the held blocks above the contiguous length, 32768 to a page.
// Like other pages they are written as deltas:
//
//	0x01 { start<<1|value:uvarint length:uvarint }   runs set or cleared, in order
//	0x02 bits[4096]                                  the set bits; all others are not decided
//	0x03 bits[4096] decided[4096]
const (
	bitsRuns   = 0x01
	bitsRaw    = 0x02
	bitsMasked = 0x03

	bitPageBits  = bitfield.PageBits
	bitPageBytes = bitPageBits / 8
	bitPageWords = bitPageBits / 64
	// bitsMaxRuns is the number of runs from which the raw form is shorter.
	bitsMaxRuns = 800
)

// bitPage is a decoded delta: value says what the decided bits are.
type bitPage struct {
	decided, value [bitPageWords]uint64
}

func setBits(w *[bitPageWords]uint64, from, to uint) {
	for k := from / 64; k <= (to-1)/64; k++ {
		lo, hi := max(from, k*64)-k*64, min(to, k*64+64)-k*64
		w[k] |= maskRange(lo, hi)
	}
}

func clearBits(w *[bitPageWords]uint64, from, to uint) {
	for k := from / 64; k <= (to-1)/64; k++ {
		lo, hi := max(from, k*64)-k*64, min(to, k*64+64)-k*64
		w[k] &^= maskRange(lo, hi)
	}
}

func (p *bitPage) parse(b []byte) error {
	*p = bitPage{}
	if len(b) == 0 {
		return errPage("empty")
	}
	kind, b := b[0], b[1:]
	switch kind {
	case bitsRuns:
		for len(b) > 0 {
			s, n := binary.Uvarint(b)
			if n <= 0 {
				return errPage("run")
			}
			l, m := binary.Uvarint(b[n:])
			if m <= 0 || l == 0 || l > bitPageBits || s>>1 > bitPageBits-l {
				return errPage("run")
			}
			b = b[n+m:]
			from, to := uint(s>>1), uint(s>>1+l)
			setBits(&p.decided, from, to)
			if s&1 != 0 {
				setBits(&p.value, from, to)
			} else {
				clearBits(&p.value, from, to)
			}
		}
	case bitsRaw, bitsMasked:
		want := bitPageBytes
		if kind == bitsMasked {
			want *= 2
		}
		if len(b) != want {
			return errPage("raw bits")
		}
		for k := range p.value {
			p.value[k] = binary.LittleEndian.Uint64(b[8*k:])
			p.decided[k] = p.value[k]
			if kind == bitsMasked {
				p.decided[k] = binary.LittleEndian.Uint64(b[bitPageBytes+8*k:])
				p.value[k] &= p.decided[k]
			}
		}
	default:
		return errPage("kind")
	}
	return nil
}

// runs calls fn for the runs of equal decided bits, in order.
func (p *bitPage) runs(fn func(from, to uint, v bool)) {
	state, start := 0, uint(0) // 0 undecided, 1 clear, 2 set
	step := func(i uint, s int) {
		if s == state {
			return
		}
		if state != 0 {
			fn(start, i, state == 2)
		}
		state, start = s, i
	}
	for k := range p.decided {
		d, v := p.decided[k], p.value[k]
		base := uint(k) * 64
		switch {
		case d == 0:
			step(base, 0)
		case d == ^uint64(0) && v == 0:
			step(base, 1)
		case d == ^uint64(0) && v == ^uint64(0):
			step(base, 2)
		default:
			for i := range uint(64) {
				s := 0
				if has(d, i) {
					s = 1 + int(v>>i&1)
				}
				step(base+i, s)
			}
		}
	}
	step(bitPageBits, 0)
}

// append encodes p in the shorter form.
func (p *bitPage) append(b []byte) []byte {
	at := len(b)
	b = append(b, bitsRuns)
	n, exact := 0, true
	p.runs(func(from, to uint, v bool) {
		n++
		exact = exact && v
		if n <= bitsMaxRuns {
			b = appendBitRun(b, from, to, v)
		}
	})
	if n <= bitsMaxRuns {
		return b
	}
	b = b[:at]
	kind := byte(bitsMasked)
	if exact {
		kind = bitsRaw
	}
	b = append(b, kind)
	for _, v := range p.value {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	if kind == bitsMasked {
		for _, v := range p.decided {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	return b
}

func appendBitRun(b []byte, from, to uint, v bool) []byte {
	s := uint64(from) << 1
	if v {
		s |= 1
	}
	b = binary.AppendUvarint(b, s)
	return binary.AppendUvarint(b, uint64(to-from))
}

// addTo adds the set bits of a page at start to f, those below min left out.
func (p *bitPage) addTo(f *bitfield.Bitfield, start, min uint64) {
	p.runs(func(from, to uint, v bool) {
		if v {
			f.SetRange(max(start+uint64(from), min), start+uint64(to), true)
		}
	})
}

type bitsMerger struct {
	pool    *sync.Pool
	acc, in bitPage
	out     []byte
}

func (m *bitsMerger) reset() { m.acc, m.out = bitPage{}, m.out[:0] }

// MergeNewer implements pebble.ValueMerger.
func (m *bitsMerger) MergeNewer(value []byte) error {
	if err := m.in.parse(value); err != nil {
		return err
	}
	for k := range m.acc.value {
		m.acc.value[k] = m.acc.value[k]&^m.in.decided[k] | m.in.value[k]
		m.acc.decided[k] |= m.in.decided[k]
	}
	return nil
}

// MergeOlder implements pebble.ValueMerger.
func (m *bitsMerger) MergeOlder(value []byte) error {
	if err := m.in.parse(value); err != nil {
		return err
	}
	for k := range m.acc.value {
		m.acc.value[k] |= m.in.value[k] &^ m.acc.decided[k]
		m.acc.decided[k] |= m.in.decided[k]
	}
	return nil
}

// Finish implements pebble.ValueMerger.
func (m *bitsMerger) Finish(includesBase bool) ([]byte, io.Closer, error) {
	if includesBase {
		m.acc.decided = m.acc.value
	}
	m.out = m.acc.append(m.out)
	return m.out, m, nil
}

// Close gives the merger back; its result is no longer used.
func (m *bitsMerger) Close() error {
	m.pool.Put(m)
	return nil
}
