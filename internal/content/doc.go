// Package content keeps the contents of files in the blob logs of several devices.
//
// Every device appends to its own log only. A [Ref] says where content is: a list
// of parts, each a run of blocks in the log of some device. So an edit of a large
// file stores only the chunks that changed, in the log of the device that made it,
// and refers for the rest to whatever logs have it.
//
// Invariants: a Ref is handed out only after its blocks are written, and whoever makes
// it durable in the same store, as an operation does that names it, makes them durable
// before, see [hyperblobs.NewRelaxed]; what a full
// sequential read gives has the hash that the Ref says, or the read fails; a
// version has at most MaxParts parts, whatever was edited before. A Ref comes from
// other devices and is trusted with nothing: its parts are checked against limits
// and against the logs, and which logs may be named is decided by who opens them.
//
// The format is described in docs/formats/content.md.
package content
