// Package hypercrypto holds the cryptographic vocabulary of Hypercore: keys and
// their text forms, namespaces, tree hashes, discovery keys, capabilities,
// manifests and the signatures they accept, and block encryption.
//
// Hashes are BLAKE2b-256, signatures Ed25519. A core's key is the hash of its
// manifest, or, for compat cores, the public key of its only signer; see
// [Manifest]. Distinct meanings have distinct types although most are 32 bytes.
//
// Everything here is a pure function of its arguments. The formats are
// described in docs/protocol/crypto.md.
package hypercrypto
