package blake2x4

import "golang.org/x/sys/cpu"

// Available tells whether Compress works on this machine.
func Available() bool { return cpu.X86.HasAVX2 }

//go:noescape
func compress(s *State, in *[Lanes]*byte, n int)
