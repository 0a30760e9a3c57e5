// Package blindrelay lets two peers that cannot reach each other meet at a third
// one, which passes their encrypted packets on without being able to read them.
//
// Both sides connect to the relay and send it the same token, one as initiator.
// The relay makes a stream for each, joins the two, and answers with their ids;
// the sides then connect their own streams to those. Nothing of what flows there
// is decrypted or acknowledged by the relay.
//
// A relay holds a bounded number of waiting tokens and joined pairs, in all and
// per connection. What a connection asked for ends with it.
//
// The protocol is described in docs/protocol/dht.md.
package blindrelay
