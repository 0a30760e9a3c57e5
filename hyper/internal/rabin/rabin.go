package rabin

// Limits of a chunk in bytes. Only the last chunk of the input may be shorter
// than MinSize.
const (
	MinSize = 512 << 10
	MaxSize = 8 << 20
)

const (
	window     = 64
	polynomial = 0x3DA3358B4DC173
	degree     = 53
	cutMask    = 1<<20 - 1
)

// tables hold what a byte contributes to the fingerprint: out when it leaves the
// window, red when it is shifted out above the polynomial's degree.
type tables struct {
	out, red [256]uint64
}

var precomputed = makeTables()

func makeTables() *tables {
	t := new(tables)
	for b := range uint64(256) {
		h := mod(b)
		for range window - 1 {
			h = mod(h << 8)
		}
		t.out[b] = h
		t.red[b] = mod(b<<degree) | b<<degree
	}
	return t
}

// mod returns the remainder of x by the polynomial over GF(2).
func mod(x uint64) uint64 {
	for i := 63; i >= degree; i-- {
		if x>>i&1 != 0 {
			x ^= polynomial << (i - degree)
		}
	}
	return x
}

// Cut returns the length of the first chunk of b. b must be all the bytes that
// are left, or at least [MaxSize] of them; it is 0 only if b is empty.
func Cut(b []byte) int {
	if len(b) <= MinSize {
		return len(b)
	}
	b = b[:min(len(b), MaxSize)]
	t := precomputed
	// Only the last 64 bytes count, so nothing before them has to be read to
	// know the fingerprint where the first cut is allowed.
	var digest uint64
	for _, c := range b[MinSize-window : MinSize] {
		digest = (digest<<8 | uint64(c)) ^ t.red[byte(digest>>(degree-8))]
	}
	if digest&cutMask == 0 {
		return MinSize
	}
	leaving := b[MinSize-window:]
	for i, c := range b[MinSize:] {
		digest ^= t.out[leaving[i]]
		digest = (digest<<8 | uint64(c)) ^ t.red[byte(digest>>(degree-8))]
		if digest&cutMask == 0 {
			return MinSize + i + 1
		}
	}
	return len(b)
}
