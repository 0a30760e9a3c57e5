// Package interop judges the Go implementation by the JavaScript one: its tests run real hypercore, corestore,
// hyperbee, hyperdrive and mirror-drive processes against ours over loopback TCP, in both directions and with both
// Noise roles, and replay the same random operation logs on both sides.
//
// package.json and package-lock.json pin the stack; run `npm ci` in this folder once. A test whose peer is missing
// fails: a judge that stays away has not agreed.
//
// The peer programs are in js/. A program reads one JSON command per line on standard input and writes one JSON
// object per line on standard output: events carry the field "event", answers the field "id" of their command. What
// is on the wire between the processes is described in docs/protocol.
package interop
