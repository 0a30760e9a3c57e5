//go:build cgo && linux

package storage

// #include <features.h>
// #ifdef __GLIBC__
// #include <malloc.h>
// static void release(void) { malloc_trim(0); }
// #else
// static void release(void) {}
// #endif
import "C"

// releaseFreed gives the system what the database has freed: with cgo it has memory of
// its own from C, whose allocator keeps what it got.
func releaseFreed() { C.release() }
