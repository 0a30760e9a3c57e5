// Package dhtrpc is the Kademlia below HyperDHT: requests and replies in single
// datagrams, a routing table, iterative queries, tokens against forged sources,
// and the judgement of what kind of NAT this node is behind.
//
// A [Node] is driven from outside: whoever owns the sockets gives it every
// datagram through [Node.HandlePacket], and it answers through [Socket]. It
// opens nothing itself, so the same node runs on UDP and on a simulated network.
//
// Invariants: a reply is taken only from the address that was asked; a node's id
// is the hash of the address it is seen at, or it has none; what a stranger makes
// us remember is bounded; nothing that a token protects happens without one.
//
// The formats are described in docs/protocol/dht.md.
package dhtrpc
