// Package workload makes the data that the benchmark programs work on. The same
// bytes come out in JavaScript (bench/js/lib.js) and, for the files, out of
// `openssl enc -aes-128-ctr`, so that both sides do the same work.
//
//   - The pool is 16 MiB: the words of an xorshift32 generator (seed 1, shifts
//     13, 17 and 5, the state after each step), little-endian.
//   - Block i of s bytes is pool[o:o+s] with o = i*63352 mod (16 MiB - s); from 8
//     bytes on, its first 8 are i, little-endian. Blocks differ and do not compress.
//   - Random choices come from mulberry32: floor(r*n).
//   - File contents are the key stream of AES-128 in counter mode, zero IV.
package workload
