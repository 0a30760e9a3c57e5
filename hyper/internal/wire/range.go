package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Range tells that the sender has, or with Drop no longer has, Length blocks
// from Start on. Nothing bounds them but the integer size.
//
//	uint flags (1 drop, 2 length is 1), uint start, [uint length unless flag 2]
type Range struct {
	Drop          bool
	Start, Length uint64
}

const (
	rangeDrop = 1 << iota
	rangeSingle
)

// AppendTo appends the encoded message.
func (m *Range) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, bit(m.Drop, rangeDrop)|bit(m.Length == 1, rangeSingle))
	b = compact.AppendUint(b, m.Start)
	if m.Length != 1 {
		b = compact.AppendUint(b, m.Length)
	}
	return b
}

// DecodeRange decodes a Range.
func DecodeRange(body []byte) (Range, error) {
	r := compact.NewReader(body)
	flags := r.Uint()
	m := Range{Drop: flags&rangeDrop != 0, Start: r.Uint(), Length: 1}
	if flags&rangeSingle == 0 {
		m.Length = r.Uint()
	}
	return m, result("range", &r)
}
