package blake2lanes

import "golang.org/x/sys/cpu"

// Lanes returns how many messages this machine can hash side by side, 0 if only one
// after the other.
func Lanes() int {
	switch {
	case !cpu.X86.HasAVX2:
		return 0
	case !cpu.X86.HasAVX512F:
		return 4
	}
	return 8
}

// compress takes n blocks, at least one, of the first lanes. The others are read and
// hashed, too.
func compress(lanes int, s *State, in *[MaxLanes]*byte, n int) {
	if lanes > 4 {
		compress8(s, in, n)
	} else {
		compress4(s, in, n)
	}
}

//go:noescape
func compress4(s *State, in *[MaxLanes]*byte, n int)

//go:noescape
func compress8(s *State, in *[MaxLanes]*byte, n int)
