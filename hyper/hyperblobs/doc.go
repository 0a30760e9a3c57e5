// Package hyperblobs keeps byte ranges ("blobs") in a log, byte for byte as the
// JavaScript module of the same name does.
//
// A plain blob is a run of blocks; its [ID] names the run. A mapped blob is a
// list of blocks anywhere in the log; its ID names the blocks that hold the
// list. Versions of a mapped blob share the blocks that are equal: large content
// is cut where the content itself says so, an edit moves only the cuts around
// it, and [Blobs.Write] appends only chunks that the previous version lacks.
// Readers accept any cuts.
//
// Invariants: an ID is handed out only after its blocks are appended, and never
// changes its content, except when the log is truncated below its end; readers
// notice that and fail. What a log from a peer says is checked against limits
// before memory is taken for it.
//
// The formats and both kinds of cuts are described in docs/protocol/hyperblobs.md.
package hyperblobs
