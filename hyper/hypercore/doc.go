// Package hypercore is a signed, append-only log of blocks that replicates
// between peers: what is read from a peer is checked against the writer's
// signature before it counts.
//
// A [Core] is a handle on one log of a [storage.DB]. All handles of a log share
// its state; package corestore hands them out, so that a log is opened once. A
// log whose key pair is at hand is written with Append and Truncate; any log is
// read with Get, which fetches what is not held from the peers it was attached
// to with Replicate.
//
// Invariants:
//   - A change of the log is one atomic commit of blocks, tree nodes, bits and
//     signed head. The length never exceeds what the signature covers.
//   - No signed head, own block or announcement leaves the machine before it is
//     durable, in every mode of durability: peers see the published state,
//     which trails the local one until a sync. After a crash the log is in a state
//     that it was in, at least as long as what peers saw, so it goes on under the
//     same fork. If the disk loses blocks that it had confirmed, the log stays as
//     long as it was and the blocks are not held; see [AuditReport].
//   - For every block held, the tree nodes that prove it are held.
//   - A commit whose outcome is unknown closes the log to further changes.
//
// The protocol is described in docs/protocol/replication.md and proofs.md.
package hypercore
