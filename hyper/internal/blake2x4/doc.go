// Package blake2x4 runs BLAKE2b (RFC 7693) over four messages side by side: one
// in each 64-bit lane of the vector registers. A single message leaves three
// quarters of what a core can do unused, as each step waits for the one before.
//
// Only the compression function is here; what goes into it, where messages
// begin and end, is the caller's. It needs AVX2, see [Available].
package blake2x4
