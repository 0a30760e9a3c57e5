package blindpairing

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Why a member refuses.
var (
	ErrRejected = errors.New("blindpairing: the member refused")
	ErrUsed     = errors.New("blindpairing: the invite was used already")
	ErrExpired  = errors.New("blindpairing: the invite has expired")
)

// ErrAnswer is the error of an answer that cannot be read, was not made for the
// request, or does not belong to the invite.
var ErrAnswer = errors.New("blindpairing: invalid answer")

// Status of an answer.
const (
	accepted = iota
	rejected
	used
	expired
)

// Answer is what a candidate is given.
type Answer struct {
	// Key is that of the log.
	Key hypercrypto.Key
	// EncryptionKey is the key its blocks are encrypted with; nil if there is none.
	EncryptionKey *[32]byte
	// Additional was attached to the invite; nil if nothing was.
	Additional *Additional
}

// Additional is data that was signed when the invite was made.
type Additional struct {
	Data      []byte
	Signature [64]byte
}

// Opened is a request that its member has opened.
type Opened struct {
	// Receipt holds the user data, and proves it to others.
	Receipt Receipt

	invite hypercrypto.PublicKey
}

// Reply is a sealed answer on its way to the candidate.
type Reply struct {
	Message []byte

	token hypercrypto.Hash // tells where to leave it as a record
}

// Accept seals the answer that hands over a. For one session there must never be
// another.
func (o *Opened) Accept(a *Answer) *Reply {
	var flags uint64
	b := compact.AppendUint(nil, accepted)
	if a.EncryptionKey != nil {
		flags |= 1
	}
	if a.Additional != nil {
		flags |= 2
	}
	b = compact.AppendUint(b, flags)
	b = append(b, a.Key[:]...)
	if a.EncryptionKey != nil {
		b = append(b, a.EncryptionKey[:]...)
	}
	if a.Additional != nil {
		b = compact.AppendBuffer(b, a.Additional.Data)
		b = append(b, a.Additional.Signature[:]...)
	}
	return o.answer(b)
}

// Refuse seals the answer that refuses because of why, which is [ErrUsed],
// [ErrExpired] or any other error.
func (o *Opened) Refuse(why error) *Reply {
	status := uint64(rejected)
	switch {
	case errors.Is(why, ErrUsed):
		status = used
	case errors.Is(why, ErrExpired):
		status = expired
	}
	return o.answer(compact.AppendUint(nil, status))
}

// answer makes the message: 32 request id, buffer sealed.
func (o *Opened) answer(plain []byte) *Reply {
	id := hypercrypto.Sum(nsRequestID[:], o.Receipt.Session[:])
	key := sessionKey(o.invite, o.Receipt.Session)
	return &Reply{Message: compact.AppendBuffer(id[:], seal(key[:], o.Receipt.Session[:], plain)), token: o.Token()}
}

func sessionKey(invite hypercrypto.PublicKey, session [32]byte) hypercrypto.Hash {
	return hypercrypto.Sum(nsSessionKey[:], invite[:], session[:])
}

// AnswerID returns the ID of the request that an answer is for.
func AnswerID(b []byte) (hypercrypto.Hash, error) {
	r := compact.NewReader(b)
	id := r.Fixed32()
	if err := r.Err(); err != nil {
		return hypercrypto.Hash{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return id, nil
}

func decodeAnswer(plain []byte) (*Answer, error) {
	r := compact.NewReader(plain)
	switch status := r.Uint(); {
	case r.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrAnswer, r.Err())
	case status == rejected:
		return nil, ErrRejected
	case status == used:
		return nil, ErrUsed
	case status == expired:
		return nil, ErrExpired
	case status != accepted:
		return nil, fmt.Errorf("%w: status %d is not known", ErrAnswer, status)
	}
	flags := r.Uint()
	a := &Answer{Key: r.Fixed32()}
	if flags&1 != 0 {
		k := r.Fixed32()
		a.EncryptionKey = &k
	}
	if flags&2 != 0 {
		a.Additional = &Additional{Data: append([]byte(nil), r.Buffer()...)}
		copy(a.Additional.Signature[:], r.Fixed(64))
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return a, nil
}
