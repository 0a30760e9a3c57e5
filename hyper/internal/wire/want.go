package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Want asks which of Length blocks from Start on the receiver has, now and when
// it gets more. Unwant, which has the same layout, ends that.
//
//	uint start, uint length, [uint flags (1 any), written only if not 0]
type Want struct {
	Start, Length uint64
	// Any: one block of them is enough to name.
	Any bool
}

// Unwant ends a [Want] with the same fields.
type Unwant = Want

// AppendTo appends the encoded message.
func (m *Want) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, m.Start)
	b = compact.AppendUint(b, m.Length)
	if m.Any {
		b = append(b, 1)
	}
	return b
}

// DecodeWant decodes a Want.
func DecodeWant(body []byte) (Want, error) {
	r := compact.NewReader(body)
	m := Want{Start: r.Uint(), Length: r.Uint()}
	if r.Len() > 0 {
		m.Any = r.Uint()&1 != 0
	}
	return m, result("want", &r)
}

// DecodeUnwant decodes an Unwant.
func DecodeUnwant(body []byte) (Unwant, error) { return DecodeWant(body) }
