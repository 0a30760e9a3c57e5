// Package salsa20x8 runs Salsa20 over eight blocks of the key stream side by side: one
// in each 32-bit lane of the vector registers. It is XSalsa20 as in package
// golang.org/x/crypto/salsa20, which does the rest where there are fewer blocks, and all
// of it where there is no AVX2.
package salsa20x8
