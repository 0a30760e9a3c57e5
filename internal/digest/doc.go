// Package digest is the hash by which the contents of files are known.
//
// Of content up to 1 MiB it is BLAKE2b-256. Of larger content it is that, keyed with
// "cloudpal/content", of the leaf hashes of its pieces of 64 KiB one after the other, of
// which the last may be shorter: several pieces are hashed side by side, which takes a
// quarter of the time. A leaf hash is that of a block of a log, [hypercrypto.LeafHash].
package digest
