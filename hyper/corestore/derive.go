package corestore

import "github.com/tradle/cloudpal/hyper/hypercrypto"

var nsCorestore = hypercrypto.Namespace("corestore", 0)

// deriveNamespace returns the namespace called name within parent.
func deriveNamespace(parent [32]byte, name string) [32]byte {
	return hypercrypto.Sum(parent[:], []byte(name))
}

// deriveKeyPair returns the key pair of a name in a namespace.
func deriveKeyPair(primary, namespace [32]byte, name string) *hypercrypto.KeyPair {
	return hypercrypto.KeyPairFromSeed(hypercrypto.KeyedSum(primary[:], nsCorestore[:], namespace[:], []byte(name)))
}
