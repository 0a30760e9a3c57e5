// Package nodes runs the program itself as people do: two nodes on this machine, of two
// people who share a space, with a folder each that is kept equal with it.
//
// The nodes are processes of their own that talk over loopback TCP, which is how
// machines in one local network do, and find nobody else. Their processor time and memory
// are those of package meter.
package nodes
