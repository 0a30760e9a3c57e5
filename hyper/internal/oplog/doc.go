// Package oplog has the records that the writers of a base and the base itself
// keep: the blocks of a writer's log, and the entries of the system view.
//
// Decoders accept what every version of Autobase 7 wrote, ignore what later ones
// may add, and refuse anything whose size the input cannot justify. A decoded
// block is well formed by itself; whether it fits its log is for the reader to
// check. The formats are described in docs/protocol/autobase.md.
package oplog
