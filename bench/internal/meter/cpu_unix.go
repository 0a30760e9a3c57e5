//go:build unix

package meter

import "golang.org/x/sys/unix"

// CPU returns the processor time of this process so far, user and system, in
// seconds.
func CPU() float64 { return rusage(unix.RUSAGE_SELF) }

// ChildrenCPU is CPU of the children that have ended and been waited for, with
// theirs.
func ChildrenCPU() float64 { return rusage(unix.RUSAGE_CHILDREN) }

func rusage(who int) float64 {
	var ru unix.Rusage
	if unix.Getrusage(who, &ru) != nil {
		return 0
	}
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
}
