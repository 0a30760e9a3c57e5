package secretstream

import (
	"crypto/subtle"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Session is what a handshake leaves: the keys of a connection and who is at
// its ends.
type Session struct {
	// Initiator tells whether this side began the handshake.
	Initiator bool
	// TX encrypts what this side sends, RX what it receives.
	TX, RX [32]byte
	// HandshakeHash is equal on both sides and unique to the connection.
	HandshakeHash [64]byte
	// PublicKey is this side's identity, RemotePublicKey the other's.
	PublicKey, RemotePublicKey hypercrypto.PublicKey
}

// Namespaces keep the uses of one handshake hash apart.
var (
	nsInitiator = hypercrypto.Namespace("hyperswarm/secret-stream", 0)
	nsResponder = hypercrypto.Namespace("hyperswarm/secret-stream", 1)
	nsSend      = hypercrypto.Namespace("hyperswarm/secret-stream", 2)
)

func roleNamespace(initiator bool) []byte {
	if initiator {
		return nsInitiator[:]
	}
	return nsResponder[:]
}

// streamID is what the named side sends first.
func streamID(handshakeHash *[64]byte, initiator bool) [32]byte {
	return hypercrypto.KeyedSum(handshakeHash[:], roleNamespace(initiator))
}

// unorderedKey is the key of packets that the named side sends.
func unorderedKey(handshakeHash *[64]byte, initiator bool) [32]byte {
	return hypercrypto.KeyedSum(handshakeHash[:], roleNamespace(initiator), nsSend[:])
}

// IsHeaderOf tells whether the bytes at the beginning of a stream are those that
// the other side of a session sends first. Whoever reads them to find out must
// give them to the connection again.
func IsHeaderOf(b []byte, s *Session) bool {
	id := streamID(&s.HandshakeHash, !s.Initiator)
	return len(b) >= lengthSize+headerUnitSize && b[0] == headerUnitSize && b[1] == 0 && b[2] == 0 &&
		subtle.ConstantTimeCompare(id[:], b[lengthSize:lengthSize+len(id)]) == 1
}
