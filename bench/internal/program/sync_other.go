//go:build !linux

package program

import "os"

// syncData makes the content of f durable.
func syncData(f *os.File) error { return f.Sync() }

// settle does nothing here.
func settle() {}
