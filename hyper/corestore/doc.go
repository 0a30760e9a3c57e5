// Package corestore keeps many cores in one directory: it derives their key
// pairs from one primary key, opens each of them once and shares it, and
// replicates all of them over one connection.
//
// A [Store] is a view on the directory: namespaces and sessions share the
// cores, the primary key and the connections of the store they were made from.
// Cores are named within a namespace. Losing the primary key loses the right to
// write; having it twice, on two machines that both write, forks the logs.
//
// Invariants:
//   - One primary key per directory, durable before the first core is.
//   - A name, once used, keeps its core.
//   - Every stored core is served to peers that prove to know its key, whether a
//     program has it open or not; nothing lists cores to a peer.
//
// The derivation is described in docs/protocol/corestore.md.
package corestore
