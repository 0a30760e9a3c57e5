// Package blindpeer keeps and serves logs without being able to read them: an
// always-on mirror, and the client that asks one to keep logs.
//
// A [Server] owns a store of strangers' logs. Clients name logs; it downloads
// them from those clients and serves them to whoever knows their keys, so that
// devices that are never online together exchange them. It holds no keys to
// decrypt anything. A [Client] tells a few of its mirrors, on each connection to
// them, which logs to keep.
//
// Neither makes connections: a server is given them, a client asks its
// [Connector] for them.
//
// Invariants:
//   - What a log may take is settled before a block of it is asked for; the sum
//     over all logs never exceeds the limits, and what a client claims counts for
//     nothing.
//   - Only a trusted key can announce or delete, and strangers' logs never push
//     out those of a trusted key.
//   - Memory is bounded by the number of records and of open logs.
//
// Trust: clients trust a mirror to be there, with nothing else. It sees keys,
// sizes, times and addresses; it can withhold and forget, but not read or forge.
//
// The protocol is that of JavaScript's blind-peer 3 and described in
// docs/protocol/blindpeer.md.
package blindpeer
