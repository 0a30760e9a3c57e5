package blindpairing

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Candidate asks with an invite.
type Candidate struct {
	// Request is what to send.
	Request *Request

	discovery hypercrypto.DiscoveryKey
	invite    hypercrypto.PublicKey
	token     hypercrypto.Hash
	receipt   Receipt
}

// NewCandidate asks for what the invite is for. userData, at most [MaxUserData]
// bytes, goes to the member; by convention it begins with the key of the log
// that the candidate means to write.
func NewCandidate(i *Invite, userData []byte) (*Candidate, error) {
	if len(userData) > MaxUserData {
		return nil, fmt.Errorf("blindpairing: user data of %d bytes, at most %d are possible", len(userData), MaxUserData)
	}
	kp := i.KeyPair()
	token := hypercrypto.Sum(nsToken[:], kp.Public[:], userData)
	session := hypercrypto.Sum(nsSession[:], token[:])
	c := &Candidate{discovery: i.DiscoveryKey, invite: kp.Public, token: token,
		receipt: Receipt{Session: session, UserData: append([]byte(nil), userData...), Signature: kp.Sign(authMessage(session, userData))}}
	plain := compact.AppendBuffer(append([]byte(nil), c.receipt.Signature[:]...), userData)
	c.Request = &Request{InviteID: InviteID(kp.Public), Session: session, sealed: seal(kp.Public[:], session[:], plain)}
	return c, nil
}

// Receipt proves to others what was asked.
func (c *Candidate) Receipt() *Receipt { r := c.receipt; return &r }

// Token is known to both sides and to nobody else. See [RecordKeys].
func (c *Candidate) Token() hypercrypto.Hash { return c.token }

// Receive opens the member's answer. The error is [ErrRejected], [ErrUsed],
// [ErrExpired], or wraps [ErrAnswer].
func (c *Candidate) Receive(answer []byte) (*Answer, error) {
	r := compact.NewReader(answer)
	id, sealed := hypercrypto.Hash(r.Fixed32()), r.Buffer()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if id != c.Request.ID() {
		return nil, fmt.Errorf("%w: it is one to another request", ErrAnswer)
	}
	key := sessionKey(c.invite, c.receipt.Session)
	plain, err := unseal(key[:], c.receipt.Session[:], sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	a, err := decodeAnswer(plain)
	if err != nil {
		return nil, err
	}
	if a.Key.Discovery() != c.discovery {
		return nil, fmt.Errorf("%w: the key is not that of the invite's log", ErrAnswer)
	}
	if a.Additional != nil && !hypercrypto.Verify(c.invite, a.Additional.Data, a.Additional.Signature[:]) {
		return nil, fmt.Errorf("%w: the additional data was not attached to the invite", ErrAnswer)
	}
	return a, nil
}

// Token is the same as the candidate's.
func (o *Opened) Token() hypercrypto.Hash {
	return hypercrypto.Sum(nsToken[:], o.invite[:], o.Receipt.UserData)
}

// RecordKeys returns the key pairs under which the two sides leave mutable
// records for each other if they are never online together: the candidate its
// request under ask, the member its answer under reply.
func RecordKeys(token hypercrypto.Hash) (ask, reply *hypercrypto.KeyPair) {
	return hypercrypto.KeyPairFromSeed(hypercrypto.Sum(nsEphemeral[:], token[:])),
		hypercrypto.KeyPairFromSeed(hypercrypto.Sum(nsReply[:], token[:]))
}

// RecordTopic is where candidates announce the public half of ask.
func RecordTopic(log hypercrypto.DiscoveryKey) hypercrypto.Hash {
	return hypercrypto.Sum(nsDiscovery[:], log[:])
}
