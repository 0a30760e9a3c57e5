package shamir

// The field of 256 elements: polynomials over GF(2) modulo x^8+x^4+x^3+x+1. Addition
// is exclusive or.
const modulus = 0x1b

// mul multiplies, in the same time for all values.
func mul(a, b byte) (p byte) {
	for range 8 {
		p ^= -(b & 1) & a
		a = a<<1 ^ -(a>>7)&modulus
		b >>= 1
	}
	return p
}

// inverse returns 1/a, which is a^254; of 0 it is 0.
func inverse(a byte) byte {
	p := byte(1)
	for range 7 {
		a = mul(a, a)
		p = mul(p, a)
	}
	return p
}
