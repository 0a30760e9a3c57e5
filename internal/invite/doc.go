// Package invite is what people do with invites: they copy a link, scan a QR code,
// or say a short code to each other; and what connects the two sides of an invite.
//
// A link carries the invite itself, so it is a secret like the invite. A spoken code
// carries nothing: the invite is told over a connection that the code protects
// (package handoff), and the code is good for one try. Both give the invite of
// package blindpairing, which [Network] then redeems through a swarm and its DHT.
//
// The link is described in docs/formats/links.md.
package invite
