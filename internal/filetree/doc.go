// Package filetree is the file tree that many devices write: what becomes of their
// changes in the one order that a space gives them.
//
// A change says what its author saw at the path, as a [Version]. Where that is still
// there, the change takes effect; where something else came first, both are kept: one
// at the path, the other beside it as a conflict copy. Nothing that was written is lost
// by this: it is current, in the history, a conflict copy, or in the trash.
//
// [Apply] is a function of the state and the change, without clock, randomness or
// I/O of its own, so that all devices come to the same tree. It never reads
// contents; those are package content's matter.
//
// Operations and the keys of the state are a format, described in
// docs/formats/files.md.
package filetree
