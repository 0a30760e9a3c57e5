// Package autobase makes one state of the logs of many writers: all peers that
// have the same nodes compute the same order of them and the same views.
//
// Every writer appends nodes to a log of its own; a node names those it was
// written after. A [Base] reads the logs of all writers, puts the nodes in
// order and feeds them to the application's Apply, which writes views. Some
// writers are indexers: what a majority of them has seen is confirmed, its order
// never changes, and they sign the views up to there. The rest is the tip, which
// may be taken back and applied again in another order.
//
// Invariants:
//   - The state is a function of the set of nodes and of Apply. The order of
//     arrival, restarts and the grouping of updates do not matter.
//   - A block of the own log is written once, durable before a peer sees it.
//     Everything else is computed again after a crash: durable are logs and
//     signed views.
//   - A node that breaks the rules stops the log it is in, and nothing else. An
//     operation that Apply refuses is a node without effect, on every peer.
//   - One change of membership is on its way at a time.
//   - Nothing waits for a peer while the base is locked, nor does Open: where a block
//     of a state is missing that the base jumped to, it stops before what needs it,
//     and goes on when it has come.
//
// Wire and storage formats are those of Autobase 7 and described in
// docs/protocol/autobase.md.
package autobase
