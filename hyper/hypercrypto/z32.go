package hypercrypto

import "fmt"

const z32Alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"

var z32Value = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range []byte(z32Alphabet) {
		t[c] = int8(i)
	}
	return t
}()

// EncodeZ32 returns b in z-base-32: five bits per character, most significant
// first, the last character padded with zero bits, no padding characters.
func EncodeZ32(b []byte) string {
	out := make([]byte, 0, (len(b)*8+4)/5)
	var acc, bits uint
	for _, c := range b {
		acc, bits = acc<<8|uint(c), bits+8
		for bits >= 5 {
			bits -= 5
			out = append(out, z32Alphabet[acc>>bits&31])
		}
	}
	if bits > 0 {
		out = append(out, z32Alphabet[acc<<(5-bits)&31])
	}
	return string(out)
}

// DecodeZ32 reverses [EncodeZ32]. Only lower-case characters are accepted.
// Padding bits are ignored, as in JavaScript, so two texts may give the same
// bytes: compare bytes, not texts.
func DecodeZ32(s string) ([]byte, error) {
	out := make([]byte, 0, len(s)*5/8)
	var acc, bits uint
	for i := range len(s) {
		v := z32Value[s[i]]
		if v < 0 {
			return nil, fmt.Errorf("character %q at position %d is not in the z-base-32 alphabet", s[i], i+1)
		}
		acc, bits = acc<<5|uint(v), bits+5
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out, nil
}
