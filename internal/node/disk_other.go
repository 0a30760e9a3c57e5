//go:build !(linux || darwin || freebsd)

package node

// freeBytes is not known on this system.
func freeBytes(string) uint64 { return 0 }
