//go:build !cgo || !linux

package storage

// Memory is left to the garbage collector, or to what the system has.

func joinFreed() {}

func releaseFreed() {}
