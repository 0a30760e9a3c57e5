package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Bitfield tells which blocks the sender has from Start on, as far as Bits
// reaches.
//
//	uint start, uint count, then so many words of 32 bits, little endian
type Bitfield struct {
	// Start is the block of the first bit, a multiple of 32. Receivers ignore
	// other messages.
	Start uint64
	// Bits has block Start+i in byte i/8 at 1<<(i%8). Its length is a multiple
	// of 4; AppendTo adds what is missing.
	Bits []byte
}

// AppendTo appends the encoded message.
func (m *Bitfield) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, m.Start)
	b = compact.AppendUint(b, uint64(len(m.Bits)+3)/4)
	b = append(b, m.Bits...)
	for n := len(m.Bits); n%4 != 0; n++ {
		b = append(b, 0)
	}
	return b
}

// Size returns how many bytes AppendTo appends.
func (m *Bitfield) Size() int {
	words := (len(m.Bits) + 3) / 4
	return compact.SizeUint(m.Start) + compact.SizeUint(uint64(words)) + 4*words
}

// DecodeBitfield decodes a Bitfield, whose Bits point into body.
func DecodeBitfield(body []byte) (Bitfield, error) {
	r := compact.NewReader(body)
	m := Bitfield{Start: r.Uint()}
	m.Bits = r.Fixed(4 * r.Count(4))
	return m, result("bitfield", &r)
}
