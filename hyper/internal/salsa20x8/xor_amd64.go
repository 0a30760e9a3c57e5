package salsa20x8

import "golang.org/x/sys/cpu"

func available() bool { return cpu.X86.HasAVX2 }

// xor applies groups of eight blocks. Words 8 and 9 of state are the number of the
// first.
//
//go:noescape
func xor(dst, src *byte, groups int, state *[16]uint32)
