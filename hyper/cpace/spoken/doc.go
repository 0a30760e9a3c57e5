// Package spoken makes and reads short codes that one person says to another,
// such as "4821-guitar-lantern".
//
// The number finds the other side and is no secret; the two words are, 16 bits of
// them, enough for a secret of which everybody has one guess (package cpace).
// The words are easy to tell apart: they differ in their first three letters and
// in at least three letters altogether. Reading is lenient about case, spaces and
// hyphens, and strict about letters: it suggests words, it never guesses.
package spoken
