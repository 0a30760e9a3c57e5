// Package dhtrelay lends a HyperDHT node to peers that have only a WebSocket:
// browsers. It speaks with the clients of @hyperswarm/dht-relay.
//
// A custodial client gives its secret key to the relay, which runs handshakes
// and encryption for it and sees what it sends; it must trust the relay and use
// TLS. Other clients keep their keys: the relay asks them to run the Noise
// handshake and to sign announcements, and moves encrypted bytes.
//
// Clients are trusted with nothing. What one can make the relay hold is bounded
// in streams, servers, queries, questions and bytes; a client that does not read
// stops what flows to it, and one that sends faster than its peers read is not
// read from. A [Relay] waits for all its goroutines.
//
// The protocol is described in docs/protocol/dht-relay.md.
package dhtrelay
