// Package diff3 merges two edits of a plain text, by lines, if they do not touch each
// other.
//
// Invariants: the result is the same whichever edit is called ours, every line that
// an edit brought in is in it, every line that both kept is in it, and what only one
// of them changed is as that one has it. Where both changed the same place, or places
// without a common line between them, there is no result.
package diff3
