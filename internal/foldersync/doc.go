// Package foldersync keeps a folder on disk and a tree that many devices write equal,
// both ways.
//
// Between the two is an index: what they last agreed on, by path. What on disk differs
// from the index is a local change, which is committed to the tree with the version that
// the index has as its base; what in the tree differs from the index is written to disk.
// Where both differ the local change is committed first, and the tree, which keeps both,
// decides what becomes of it.
//
// Invariants:
//   - Nothing on disk is replaced or removed that is not what the index says: local
//     changes win over the disk, the tree over the content of a path.
//   - Nothing on disk is replaced or removed because a change of this device turned out
//     not to count: it is a local change again.
//   - The index says that something is agreed only after it was: after the commit is
//     durable, or the file has its name.
//   - Pull looks at the tree when all that was committed here is in the index, and leaves
//     alone what push noted in the index since then.
//   - Nothing is deleted because the folder is not there: a marker in the folder says
//     that it is the one.
//   - A file appears on disk complete or not at all, and only below the folder:
//     paths of the tree are not trusted, and no link is followed.
//   - A content is committed only if the file did not change while it was read.
//
// The folder and the state beside it are trusted, the tree is not. What is written
// where is described in docs/operations/sync.md.
package foldersync
