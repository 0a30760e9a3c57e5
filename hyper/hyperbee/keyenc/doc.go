// Package keyenc builds keys for a Hyperbee, whose order is the order of bytes.
//
// [Sub] puts keys under a name, so that several collections live in one tree
// without meeting. [Index] turns a tuple of values into a key that sorts as the
// tuple does, which is what secondary indexes are made of; hyperdb uses it for all
// its keys.
//
// The invariant of both: comparing encoded keys as bytes compares what they were
// made from. All values are immutable and safe for concurrent use.
//
// The format is described in docs/protocol/encoding.md.
package keyenc
