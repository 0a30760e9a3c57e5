// Package hyperbee is an append-only B-tree of keys and values in one Hypercore.
//
// Every put or delete appends one block with the key, the value and all tree
// nodes the operation changed; block 0 is a header. The newest block holds the
// root, so each length of the log at the end of an operation or batch is a
// version that can be read again. Two invariants hold: the blocks written are
// the same, byte for byte, as those of the JavaScript module hyperbee 2 for the
// same operations, and nothing a stored or received block contains can make a
// reader panic, loop or allocate without bound.
//
// A [Tree] is the current tree, a fixed version of it or a sub-tree with a key
// prefix. Writes go one at a time or in a [Batch], which is one atomic append.
// Blocks that are not held locally are fetched from peers when they are read;
// an extension message tells peers ahead of time which blocks a read will need.
//
// The format, the rules a writer follows and the extension are described in
// docs/protocol/hyperbee.md.
package hyperbee
