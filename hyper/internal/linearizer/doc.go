// Package linearizer decides the order in which the nodes of many writers are
// applied, and which part of that order is final.
//
// Every node names the nodes it has seen. The nodes that a majority of the
// indexers has seen, and has seen each other see, are confirmed: their order
// never changes. The others are the tip, whose order may change when more nodes
// arrive.
//
// The result is a function of the set of nodes and of the indexers, not of the
// order in which nodes arrive. Everything here is pure: no storage, no network,
// no clock. The rules are those of Autobase 7; they are described in
// docs/protocol/autobase.md.
package linearizer
