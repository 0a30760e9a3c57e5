package blindpairing

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// MaxUserData is the largest user data in bytes. A request has to fit into one
// record of the network.
const MaxUserData = 700

// ErrRequest is the error of a request that cannot be read or was not made with
// the invite.
var ErrRequest = errors.New("blindpairing: invalid request")

// Request is what the candidate asks with.
//
//	32 invite id, buffer session, buffer sealed
//
// Sealed is a signature of the invite's key and a buffer with the user data.
type Request struct {
	// InviteID names the invite.
	InviteID hypercrypto.Hash
	// Session is the same for the same user data, and tells nothing about it.
	Session [32]byte

	sealed []byte
}

// DecodeRequest reads a request. The error wraps [ErrRequest].
func DecodeRequest(b []byte) (*Request, error) {
	r := compact.NewReader(b)
	q := &Request{InviteID: r.Fixed32()}
	session, sealed := r.Buffer(), r.Buffer()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if len(session) != len(q.Session) {
		return nil, fmt.Errorf("%w: a session of %d bytes", ErrRequest, len(session))
	}
	q.Session = [32]byte(session)
	q.sealed = append([]byte(nil), sealed...)
	return q, nil
}

// AppendTo appends the encoded request.
func (q *Request) AppendTo(b []byte) []byte {
	b = append(b, q.InviteID[:]...)
	b = compact.AppendBuffer(b, q.Session[:])
	return compact.AppendBuffer(b, q.sealed)
}

// ID names the request in the answer.
func (q *Request) ID() hypercrypto.Hash { return hypercrypto.Sum(nsRequestID[:], q.Session[:]) }

// Open opens the request with the public key of its invite. The error wraps
// [ErrRequest].
func (q *Request) Open(invite hypercrypto.PublicKey) (*Opened, error) {
	if InviteID(invite) != q.InviteID {
		return nil, fmt.Errorf("%w: it is one of another invite", ErrRequest)
	}
	plain, err := unseal(invite[:], q.Session[:], q.sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	r := compact.NewReader(plain)
	signature, data := r.Fixed(64), r.Buffer()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	o := &Opened{Receipt: Receipt{Session: q.Session, UserData: data}, invite: invite}
	copy(o.Receipt.Signature[:], signature)
	if !o.Receipt.Verify(invite) {
		return nil, fmt.Errorf("%w: the signature is wrong", ErrRequest)
	}
	return o, nil
}

// Receipt proves that the holder of an invite asked with exactly this user data.
//
//	32 session, 64 signature, buffer user data
type Receipt struct {
	Session   [32]byte
	Signature [64]byte
	UserData  []byte
}

// DecodeReceipt reads a receipt. The error wraps [ErrRequest].
func DecodeReceipt(b []byte) (*Receipt, error) {
	r := compact.NewReader(b)
	c := &Receipt{Session: r.Fixed32()}
	copy(c.Signature[:], r.Fixed(64))
	c.UserData = append([]byte(nil), r.Buffer()...)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: receipt: %w", ErrRequest, err)
	}
	return c, nil
}

// AppendTo appends the encoded receipt.
func (c *Receipt) AppendTo(b []byte) []byte {
	b = append(append(b, c.Session[:]...), c.Signature[:]...)
	return compact.AppendBuffer(b, c.UserData)
}

// Verify checks the receipt against the public key of the invite.
func (c *Receipt) Verify(invite hypercrypto.PublicKey) bool {
	return hypercrypto.Verify(invite, authMessage(c.Session, c.UserData), c.Signature[:])
}

// authMessage is what the candidate signs.
func authMessage(session [32]byte, userData []byte) []byte {
	b := append([]byte(nil), nsSignature[:]...)
	b = compact.AppendBuffer(b, session[:])
	return compact.AppendBuffer(b, userData)
}
