package hyperblobs

import "testing"

func prngBytes(seed uint32, n int) []byte {
	b := make([]byte, (n+3)/4*4)
	for i := 0; i < len(b); i += 4 {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		b[i], b[i+1], b[i+2], b[i+3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	}
	return b[:n]
}

func BenchmarkGearCut(b *testing.B) {
	data := prngBytes(31337, 64<<20)
	b.SetBytes(int64(len(data)))
	n := 0
	for b.Loop() {
		n = 0
		for rest := data; len(rest) > 0; n++ {
			rest = rest[gearCut(rest):]
		}
	}
	b.ReportMetric(float64(len(data)/n), "B/chunk")
}
