package hyperblobs

import "encoding/binary"

// Limits of the cuts of our own, in bytes. Chunks of ordinary data have 80 KiB
// on average; every 1000th is longer than 150 KiB.
const (
	gearMin  = 32 << 10
	gearEasy = 64 << 10  // from here on cuts are four times as likely
	gearLate = 128 << 10 // and from here on sixteen times
	gearMax  = 160 << 10
)

// A cut follows a byte after which the hash is below these limits: the chances
// are 2^-17, 2^-15 and 2^-13. A cut at a stricter limit is one at the looser
// limits as well, so two runs of cuts that have drifted apart meet again soon.
const (
	gearHardLimit = 1 << (64 - 17)
	gearEasyLimit = 1 << (64 - 15)
	gearLateLimit = 1 << (64 - 13)
)

// gearTable maps bytes to random numbers. It may never change: cuts of new
// versions must fall where those of stored ones fell.
var gearTable = makeGearTable()

func makeGearTable() *[256]uint64 {
	t := new([256]uint64)
	x := uint64(0x636c6f756470616c) // "cloudpal"
	for i := range t {
		x += 0x9e3779b97f4a7c15
		z := x
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		t[i] = z ^ z>>31
	}
	return t
}

// gearCut returns the length of the first chunk of b. b must be all the bytes
// that are left, or at least gearMax of them.
func gearCut(b []byte) int {
	if len(b) <= gearMin {
		return len(b)
	}
	b = b[:min(len(b), gearMax)]
	// The hash shifts by one bit per byte, so only the last 64 bytes count.
	var h uint64
	for _, c := range b[gearMin-64 : gearMin] {
		h = h<<1 + gearTable[c]
	}
	at := gearMin
	for _, part := range [...]struct {
		end   int
		limit uint64
	}{{gearEasy, gearHardLimit}, {gearLate, gearEasyLimit}, {gearMax, gearLateLimit}} {
		end := min(part.end, len(b))
		n, next := gearScan(h, b[at:end], part.limit)
		if n >= 0 {
			return at + n + 1
		}
		if at, h = end, next; at == len(b) {
			break
		}
	}
	return len(b)
}

// gearScan rolls h over b and returns the index of the first byte after which it
// is below limit, or -1 and the hash after the last byte.
func gearScan(h uint64, b []byte, limit uint64) (int, uint64) {
	t := gearTable
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		h0 := h<<1 + t[byte(w)]
		h1 := h0<<1 + t[byte(w>>8)]
		h2 := h1<<1 + t[byte(w>>16)]
		h3 := h2<<1 + t[byte(w>>24)]
		h4 := h3<<1 + t[byte(w>>32)]
		h5 := h4<<1 + t[byte(w>>40)]
		h6 := h5<<1 + t[byte(w>>48)]
		h = h6<<1 + t[byte(w>>56)]
		if min(h0, h1, h2, h3, h4, h5, h6, h) >= limit {
			continue
		}
		for j, v := range [...]uint64{h0, h1, h2, h3, h4, h5, h6, h} {
			if v < limit {
				return i + j, v
			}
		}
	}
	for ; i < len(b); i++ {
		if h = h<<1 + t[b[i]]; h < limit {
			return i, h
		}
	}
	return -1, h
}
