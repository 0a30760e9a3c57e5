//go:build !amd64

package salsa20lanes

func lanes() int { return 0 }

func xor(int, *byte, *byte, int, *[16]uint32) { panic("salsa20lanes: not available") }
