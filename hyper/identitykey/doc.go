// Package identitykey makes and checks identities: one person is one phrase of
// words, from which their keys follow, and devices with keys of their own prove
// that they belong to that person.
//
// A proof is small, stands alone and needs no network: the identity signs the
// first device, a device signs the next, the last one may sign data. What is
// accepted was signed, link by link, by the identity that the proof names; a
// proof that carries no signature proves nothing and is refused.
//
// Proofs are those of keet-identity-key. Their format and the derivation of keys
// are described in docs/protocol/identity.md.
package identitykey
