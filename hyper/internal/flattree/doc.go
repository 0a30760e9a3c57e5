// Package flattree is the arithmetic of the tree numbering: an endless binary
// tree laid out in order, so that leaves have even numbers and parents odd ones.
//
//	3           3
//	2     1           5
//	1  0     2     4     6
//
// A number x names one subtree. Its depth is the number of trailing one bits, its
// offset tells how many subtrees of that depth lie to its left. Block i of a log
// is leaf 2i. A log of n blocks is the list of its full roots: the complete
// subtrees, largest first, that n leaves make.
//
// Every function is pure, allocates nothing and is defined for every input;
// results are exact for numbers below 2^62.
//
// The numbering is described in docs/protocol/encoding.md.
package flattree
