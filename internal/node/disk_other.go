//go:build !(linux || darwin || freebsd)

package node

// freeBytes is not known on this system.
func freeBytes(string) uint64 { return 0 }

// writable tells why files cannot be made in a folder; nil if that is not known.
func writable(string) error { return nil }
