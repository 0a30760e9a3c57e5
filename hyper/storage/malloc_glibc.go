//go:build cgo && linux

package storage

// #include <features.h>
// #ifdef __GLIBC__
// #include <malloc.h>
// static void one_arena(void) { mallopt(M_ARENA_MAX, 1); }
// static void release(void) { malloc_trim(0); }
// #else
// static void one_arena(void) {}
// static void release(void) {}
// #endif
import "C"

// With cgo the database has its blocks and tables from C.

// joinFreed keeps what is freed together. An allocator with an area for each thread has
// holes in all of them: blocks are freed by other threads than those that asked for them.
func joinFreed() { C.one_arena() }

// releaseFreed gives the system what is free.
func releaseFreed() { C.release() }
