// Package compact implements compact-encoding, the byte layout of every
// message, manifest and record in the Hypercore stack.
//
// Encoders append to a slice and never fail: Append* functions return the
// extended slice. Decoders read from a [Reader], whose first error sticks, so
// a message is decoded field by field and checked once at the end with
// [Reader.Err].
//
// Integers are little endian. The JavaScript side holds them in doubles, so no
// value above [MaxUint] is ever accepted, and Append* must not be given one:
// a peer that receives it drops the connection. Decoders never allocate more
// than the input can justify, whatever count or length it claims.
//
// The format is described in docs/protocol/encoding.md.
package compact
