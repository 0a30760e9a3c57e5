// Package archtest holds the rules of the house as tests: which package may
// import which, that every package says what it is for, and that nothing names
// a machine it was written on. It has no code of its own.
//
// The rules are explained in docs/architecture.md.
package archtest
