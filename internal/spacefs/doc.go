// Package spacefs is the files of a space: the tree that filetree keeps in the state of
// the space, and the contents that package content keeps in the blob logs of its
// devices.
//
// [Files] reads, writes and undoes; [Files.Tree] is what foldersync keeps a folder equal
// to. In the background every device merges texts that were edited in two places,
// fetches the contents that it is to have, and frees those that nothing names any more;
// one of them empties the trash.
//
// Invariants:
//   - Content is stored before the operation that names it is written.
//   - Content counts as known only if it is held here and was found to be right; else it
//     is stored again, and the space knows two places for it.
//   - Nothing is freed that something in the tree, its history, the trash or a snapshot
//     has, nor before the order of the operation that released it is final.
package spacefs
