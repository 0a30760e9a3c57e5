package dhtrelay

import (
	"context"
	"iter"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// Node is the DHT node that a [Relay] lends to its clients. Its methods are
// called concurrently.
type Node interface {
	// Connect opens a stream to the server remote in the name of key. A delegate
	// is asked for one handshake.
	Connect(ctx context.Context, key Identity, remote hypercrypto.PublicKey) (Stream, error)
	// Listen announces a server in the name of key and returns when that is done.
	// Of a custodial server, admit is asked about every connection, with the Noise
	// payload that the other side sent; others decide in the handshake.
	Listen(ctx context.Context, key Identity, admit AdmitFunc) (Server, error)
	// Lookup yields the replies of nodes that know peers of a topic.
	Lookup(ctx context.Context, topic [32]byte) iter.Seq2[Reply, error]
	// Announce announces key under a topic at the nodes closest to it, once, and
	// yields what Lookup does.
	Announce(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error]
	// Unannounce takes an announcement back.
	Unannounce(ctx context.Context, topic [32]byte, key Identity) error
}

// AdmitFunc tells whether a connection of remote is wanted.
type AdmitFunc func(ctx context.Context, remote hypercrypto.PublicKey, payload []byte) bool

// Identity is the key that a node acts for. One of the two is set: a custodial
// client gave its key pair, others are asked.
type Identity struct {
	KeyPair  *hypercrypto.KeyPair
	Delegate hyperdht.Delegate
}

// PublicKey is the public half.
func (i Identity) PublicKey() hypercrypto.PublicKey {
	if i.KeyPair != nil {
		return i.KeyPair.Public
	}
	return i.Delegate.PublicKey()
}

// Stream is a connection between a client of the relay and a peer. Of a
// custodial client it is the decrypted stream and a frame is a message of it; of
// others it is the raw UDX stream. One goroutine reads while another writes.
type Stream interface {
	// ReadFrame returns what comes next, at least one byte. The slice is valid
	// until the next call. The error is io.EOF when the other side has ended.
	ReadFrame() ([]byte, error)
	// Write sends p as one message, waiting while the other side does not read.
	Write(p []byte) (int, error)
	// CloseWrite ends this side.
	CloseWrite() error
	// Linger waits until both sides have ended and the other has got everything.
	Linger(ctx context.Context) error
	// Close ends the stream at once and makes the other methods return.
	Close() error
	// HandshakeHash is asked of custodial streams only.
	HandshakeHash() [64]byte
	// RemotePublicKey is the identity of the other side.
	RemotePublicKey() hypercrypto.PublicKey
}

// Server accepts connections for a client.
type Server interface {
	// Accept waits for the next connection. The handshake is the one that the
	// client has run for it, nil if the server is custodial.
	Accept(ctx context.Context) (Stream, hyperdht.Handshake, error)
	// Addr is where the node is seen by others; it may be invalid.
	Addr() netip.AddrPort
	// Close stops accepting and takes the announcement back. Accepted streams live
	// on.
	Close() error
}

// Reply is one node's answer to a query.
type Reply struct {
	Token [32]byte
	From  Contact // the node
	To    Contact // the asking node, as the other sees it
	Peers []hyperdht.Peer
}

// Contact is a node's address and, if it has one, its id.
type Contact struct {
	ID   *[32]byte
	Addr netip.AddrPort
}
