// Package rabin cuts bytes into chunks where the JavaScript mirror-drive cuts
// them, so that a file first stored by it and edited by us shares its blocks.
//
// A rolling Rabin fingerprint over 64 bytes decides: a chunk ends after a byte
// where the low 20 bits of the fingerprint are zero and the chunk has at least
// [MinSize] bytes, or where it has [MaxSize]. Where a chunk ends depends on its
// own bytes only, never on what comes before it or on how the input was split
// into reads. Pure: no I/O and no state.
//
// The parameters are described in docs/protocol/hyperblobs.md.
package rabin
