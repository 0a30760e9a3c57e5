// Package blake2lanes runs BLAKE2b (RFC 7693) over messages side by side: one in each
// 64-bit lane of the vector registers, of which there are eight with AVX-512 and four
// with AVX2. A single message leaves three quarters of what a core can do unused, as
// each step waits for the one before.
//
// Only the compression function is here; what goes into it, where messages begin and
// end, is the caller's.
package blake2lanes
