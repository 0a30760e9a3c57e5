// Package merkle is the arithmetic of a log's Merkle tree: growing and cutting
// it, byte offsets, and making and checking proofs. It does no I/O of its own:
// nodes come through a [Reader], everything a check needs is an argument, and
// nothing is changed but the values a caller holds.
//
// Invariants:
//   - [Verifier] accepts nothing that changes a bit of what the signature
//     covers. Every node it returns for storing hangs below a signed root or
//     below a node the caller already trusts.
//   - The sizes of two siblings that are both known by hash only are covered as
//     a sum. A node computed from a block or from its children has its true
//     size, so computed sizes overrule stored ones; see [Change.Nodes].
//   - A store that keeps the nodes of every [Change] together with its block can
//     prove every block it holds.
//
// Terms: a block is an entry of the log; its leaf is the tree node with twice
// its number. Roots are the tops of the complete subtrees, one per one bit of
// the length. The rules are described in docs/protocol/proofs.md.
package merkle
