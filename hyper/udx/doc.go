// Package udx is a reliable stream protocol over UDP: many ordered byte streams
// with unordered messages beside them on one socket, wire-compatible with udx 1.
//
// There is no handshake. The two ends of a stream agree elsewhere on two 32-bit
// ids and two addresses. A Transport owns the ids; a stream that is not yet
// connected may receive on every Socket of its transport, after its firewall
// hook has seen where the packet came from.
//
// What is written arrives once, in order and unchanged by the network, or the
// stream ends with an error. Nothing is encrypted or authenticated: who learns
// an id and can send from the peer's address can end or garble the stream. Memory
// is bounded in every direction: by the send buffer, by the advertised window,
// and by a limit on what is held out of order.
//
// The protocol is described in docs/protocol/udx.md.
package udx
