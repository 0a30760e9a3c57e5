// Package bitfield holds sets of block indexes: the blocks a core holds, and
// the blocks each peer claims to hold.
//
// A [Bitfield] is a sorted list of chunks: a stretch of 32768-bit pages that
// are all ones, whatever its length, or one page with its bits. Pages of zeros
// are not kept. A set with one huge run therefore costs as little as an empty
// one; memory grows with the number of pages that are neither full nor empty,
// which [Bitfield.Pages] reports so that the owner can bound what a peer makes
// it keep.
//
// Everything here is pure: no I/O, no goroutine, no lock. Indexes are below
// 2^53; ranges that reach beyond are cut there.
//
// The pages and words exchanged between peers are described in
// docs/protocol/replication.md.
package bitfield
