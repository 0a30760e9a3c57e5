// Package handoff gives files from one person to another who stand together, or
// speak on the phone: one side shows a short code, the other types it in, and the
// files go over a connection that nobody else can be an end of.
//
// Either side may show the code, the one that sends or the one that receives. It
// is good for one guess: whoever types a wrong one has used it up, and the side
// that shows it says so and ends. The key exchange of package cpace is bound to the
// handshake of the encrypted connection below, so a code protects exactly the
// connection that it was typed into.
//
// The receiver trusts the sender with nothing but the contents: names stay inside
// the destination, nothing that exists is replaced, and what arrives appears under
// its name only when the whole of it has arrived and was checked. A transfer that
// breaks off goes on by itself while both sides run, and later when both are started
// again in the same places.
//
// How two sides that know the same number get connected is the business of a
// [Rendezvous]. docs/protocol/handoff.md describes the messages.
package handoff
