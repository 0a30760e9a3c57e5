// Package hyperdht finds peers by their public key and connects to them: a
// distributed hash table of announcements and small records, encrypted
// connections through NATs, and the node that makes both possible for others.
//
// A [DHT] is client, server and storing node at once, on two UDP sockets: one
// at the port that others may know, one for asking while this node is behind a
// firewall. Both carry requests, hole punches and streams.
//
//	d, err := hyperdht.New(nil)
//	server, err := d.Listen(ctx, keyPair, nil)
//	conn, err := d.Connect(ctx, publicKey, nil)
//
// Invariants: a connection is handed out only after the other side has proven its
// key and its first encrypted bytes have arrived; one handshake message is
// computed once, whoever brings it; everything that strangers can make a node
// remember or do is bounded. Discovery shows public keys and topics to the nodes
// that store them: topics should be hashes, never secrets.
//
// The protocol is described in docs/protocol/dht.md.
package hyperdht
