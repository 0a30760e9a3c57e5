// Package storage keeps all cores of one store directory in one Pebble database
// and, beside it, segment files for large blocks.
//
// A [DB] holds cores. A [Core] has a head (length, fork, signature), an auth
// record (key, manifest, key pair), tree nodes, blocks, the set of held blocks
// and user data. Changes are collected in a [Batch], which may touch several
// cores, and take effect together in [Batch.Commit].
//
// Invariants:
//   - A batch is applied whole or not at all, also across a crash.
//   - A crash leaves a prefix of the commits, over all cores, each of them whole
//     with its blocks, and all that were durable.
//   - A block is held exactly if its bit is set; the store keeps the two in step
//     by itself. A block that the disk lost after having confirmed it is not held
//     and on record, see [Core.Lost]; wrong bytes are never returned.
//   - After a commit whose outcome is unknown, no further commit is accepted.
//
// Trust: the directory is trusted to keep secrets (files are readable by the
// owner only), but not to keep bits: large blocks carry a checksum each, and
// everything else those of Pebble's blocks. Damage is reported as [ErrCorrupt].
//
// The format on disk is described in docs/formats/storage.md.
package storage
