// Package secretstream turns a byte stream into an authenticated, encrypted
// stream of messages: a Noise XX handshake in which both sides prove an Ed25519
// key, then libsodium secretstream messages behind a 3-byte length.
//
// A message arrives whole, once, in order and unchanged, or the connection ends:
// any error in framing or authentication closes it, and nothing is sent to
// explain it. Message boundaries are kept. Buffers grow only as bytes arrive.
//
// The formats are described in docs/protocol/transport.md.
package secretstream
