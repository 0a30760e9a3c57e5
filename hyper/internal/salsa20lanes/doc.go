// Package salsa20lanes runs Salsa20 over many blocks of the key stream side by side, one
// in each 32-bit lane of the vector registers: sixteen with AVX-512, eight with AVX2. It
// is XSalsa20 as in package golang.org/x/crypto/salsa20, which does the work where there
// are only few blocks, and all of it on other processors.
package salsa20lanes
