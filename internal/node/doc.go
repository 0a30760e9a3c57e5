// Package node is the composition root: it opens the store in a data folder,
// wires everything to it, runs it, and closes it in reverse. It is the only
// package that knows all others, and only the command line imports it.
//
// A data folder has one node at a time: the store's lock decides. The node
// answers the API of package api on a Unix socket in the folder, so that other
// processes can use it, and to its own process without one. The folder is made
// readable for its owner only; who can enter it can act as the owner.
package node
