package salsa20lanes

import "golang.org/x/sys/cpu"

// lanes is the number of blocks that this machine can work on side by side, 0 if none.
func lanes() int {
	switch {
	case !cpu.X86.HasAVX2:
		return 0
	case !cpu.X86.HasAVX512F:
		return 8
	}
	return 16
}

// xor applies groups of blocks, as many in each as there are lanes. Words 8 and 9 of
// state are the number of the first.
func xor(lanes int, dst, src *byte, groups int, state *[16]uint32) {
	if lanes == 16 {
		xor16(dst, src, groups, state)
	} else {
		xor8(dst, src, groups, state)
	}
}

//go:noescape
func xor8(dst, src *byte, groups int, state *[16]uint32)

//go:noescape
func xor16(dst, src *byte, groups int, state *[16]uint32)
