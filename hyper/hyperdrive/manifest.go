package hyperdrive

import "github.com/tradle/cloudpal/hyper/hypercrypto"

// nsBlobs keeps the signers of the contents apart from those of the names:
// BLAKE2b of BLAKE2b("hyperdrive") and a zero byte.
var nsBlobs = namespaceBlobs()

func namespaceBlobs() hypercrypto.Hash {
	h := hypercrypto.Sum([]byte("hyperdrive"))
	return hypercrypto.Sum(h[:], []byte{0})
}

// ContentManifest returns the manifest of the log that holds the contents of the
// drive whose database has the manifest m and the key. It is nil for a database
// without manifest hash (version 0 and compat cores), whose header names the
// contents instead.
func ContentManifest(m *hypercrypto.Manifest, key hypercrypto.Key) *hypercrypto.Manifest {
	if m == nil || m.Version < 1 {
		return nil
	}
	if _, compat := m.Matches(key); compat {
		return nil
	}
	c := &hypercrypto.Manifest{Version: m.Version, AllowPatch: m.AllowPatch, Quorum: m.Quorum}
	for _, s := range m.Signers {
		s.Namespace = hypercrypto.Sum(nsBlobs[:], key[:], s.Namespace[:])
		c.Signers = append(c.Signers, s)
	}
	return c
}
