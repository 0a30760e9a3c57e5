// Package protomux carries many message channels over one framed stream.
//
// Each side numbers the channels it opens: 1, 2, 3, ... without gaps, and a
// number is used again only when the other side is sure to have forgotten it.
// The n-th open of one side for a (protocol, id) is paired with the n-th of the
// other; an open without a counterpart is rejected, once. A channel that is
// closed before the other side has answered its open stays allocated, unseen,
// until the answer came, because an earlier close may get lost over there.
//
// Handlers run one at a time and never under a lock of the mux. Sending never
// waits: what is sent is encoded straight into the frame that goes out next. So
// a sender of much data must stop while [Channel.Drained] is false.
//
// The format is described in docs/protocol/transport.md.
package protomux
