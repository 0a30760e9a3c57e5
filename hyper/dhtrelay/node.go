package dhtrelay

import (
	"context"
	"iter"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Node is the DHT node that a [Relay] lends to its clients. Its methods are
// called concurrently.
type Node interface {
	// Connect opens a stream to the server remote in the name of key.
	Connect(ctx context.Context, key Identity, remote hypercrypto.PublicKey) (Stream, error)
	// Listen announces a server in the name of key and returns when that is done.
	// Of a custodial server, admit is asked about every connection, with the Noise
	// payload that the other side sent; of others the key's [Keeper] decides.
	Listen(ctx context.Context, key Identity, admit AdmitFunc) (Server, error)
	// Lookup yields the replies of nodes that know peers of a topic.
	Lookup(ctx context.Context, topic [32]byte) iter.Seq2[Reply, error]
	// Announce announces key under a topic at the nodes closest to it, once, and
	// yields what Lookup does.
	Announce(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error]
	// Unannounce takes an announcement back. It yields what Lookup does.
	Unannounce(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error]
}

// AdmitFunc tells whether a connection of remote is wanted.
type AdmitFunc func(ctx context.Context, remote hypercrypto.PublicKey, payload []byte) bool

// Identity is the key that a node acts for. One of KeyPair and Keeper is set.
type Identity struct {
	PublicKey hypercrypto.PublicKey
	KeyPair   *hypercrypto.KeyPair // of a custodial client
	Keeper    Keeper               // a client that keeps its secret key
}

// Keeper does what needs the secret key of an [Identity].
type Keeper interface {
	// Handshake begins a Noise IK handshake.
	Handshake(initiator bool) Handshake
	// SignAnnounce and SignUnannounce return the signatures of such a request.
	SignAnnounce(ctx context.Context, r SignRequest) ([64]byte, error)
	SignUnannounce(ctx context.Context, r SignRequest) ([64]byte, error)
}

// SignRequest is what an announcement's signature covers besides the target and
// the public key, which the keeper knows.
type SignRequest struct {
	Token  [32]byte         // given by the storing node
	NodeID [32]byte         // of the storing node
	Relays []netip.AddrPort // exactly as in the announced peer
}

// Handshake is a Noise IK handshake that is run elsewhere. The keys that come
// out of it stay there. It is not safe for concurrent use.
type Handshake interface {
	// Send returns the next message, which carries payload.
	Send(ctx context.Context, payload []byte) (message []byte, err error)
	// Receive returns the payload of the other side's message. The error is
	// [ErrRefused] when the keeper does not want the connection.
	Receive(ctx context.Context, message []byte) (payload []byte, err error)
	// RemotePublicKey is the other side's identity: known to an initiator from the
	// start, to a responder after Receive.
	RemotePublicKey() hypercrypto.PublicKey
	// HolepunchSecret authenticates hole punching. It is known when both messages
	// have passed.
	HolepunchSecret() [32]byte
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
	// server's [Keeper] has begun for it, nil if it has none.
	Accept(ctx context.Context) (Stream, Handshake, error)
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
	Peers []Peer
}

// Contact is a node's address and, if it has one, its id.
type Contact struct {
	ID   *[32]byte
	Addr netip.AddrPort
}

// Peer is somebody announced, with the addresses of the nodes that relay to it.
type Peer struct {
	PublicKey hypercrypto.PublicKey
	Relays    []netip.AddrPort
}
