//go:build !amd64

package blake2lanes

// Lanes returns how many messages this machine can hash side by side, 0 if only one
// after the other.
func Lanes() int { return 0 }

func compress(int, *State, *[MaxLanes]*byte, int) { panic("blake2lanes: not available") }
