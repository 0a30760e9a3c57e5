// Package shamir splits a secret into shares, a given number of which restore it
// while fewer tell nothing about it, however much somebody computes.
//
// Each byte of the secret is the value at 0 of a random polynomial over the field of
// 256 elements; a share is the values at one other place. With t shares needed the
// polynomial has degree t-1: t values determine it, and for t-1 values every secret
// is equally likely. The field is that of AES. Arithmetic takes the same time for all
// values.
//
// Shares say nothing of which secret they belong to, and a wrong one gives a wrong
// secret: whoever stores shares adds what is needed to notice that.
package shamir
