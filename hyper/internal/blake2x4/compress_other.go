//go:build !amd64

package blake2x4

// Available tells whether Compress works on this machine.
func Available() bool { return false }

func compress(*State, *[Lanes]*byte, int) { panic("blake2x4: not available") }
