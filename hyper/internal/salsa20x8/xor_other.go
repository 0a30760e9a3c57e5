//go:build !amd64

package salsa20x8

func available() bool { return false }

func xor(dst, src *byte, groups int, state *[16]uint32) { panic("salsa20x8: not available") }
