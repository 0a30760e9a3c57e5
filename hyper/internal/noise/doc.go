// Package noise runs the two Noise handshakes of the stack, XX and IK, with
// Diffie-Hellman on the Edwards curve: the static keys are Ed25519 keys.
//
// It keeps one promise beyond the Noise rules: a remote point takes part in a
// handshake only if it is canonical, on the curve, and in the subgroup of prime
// order without being the identity. A handshake that met an error stays failed.
//
// The formats are described in docs/protocol/transport.md.
package noise
