package blindpairing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The state of a book:
//
//	uint version (1), uint count, invite …
//
// and an invite:
//
//	uint flags (1 encryption key, 2 data, 4 expires, 8 revoked),
//	32 public key, 32 key, [1: 32 encryption key], [2: buffer data, 64 signature],
//	[4: u64 seconds since 1970], uint uses,
//	uint count, { 32 session, u8 status } …
const bookVersion = 1

// Flags of an invite in a book.
const (
	bookEncrypted = 1 << iota
	bookData
	bookExpires
	bookRevoked
)

// ErrBook is the error of bytes that are no state of a book.
var ErrBook = errors.New("blindpairing: not a list of invites")

func appendBook(b []byte, list []*Entry) []byte {
	b = compact.AppendUint(b, bookVersion)
	b = compact.AppendUint(b, uint64(len(list)))
	for _, e := range list {
		b = e.appendTo(b)
	}
	return b
}

func (e *Entry) appendTo(b []byte) []byte {
	var flags uint64
	if e.EncryptionKey != nil {
		flags |= bookEncrypted
	}
	if e.additional != nil {
		flags |= bookData
	}
	if !e.Expires.IsZero() {
		flags |= bookExpires
	}
	if e.Revoked {
		flags |= bookRevoked
	}
	b = compact.AppendUint(b, flags)
	b = append(append(b, e.Invite[:]...), e.Key[:]...)
	if e.EncryptionKey != nil {
		b = append(b, e.EncryptionKey[:]...)
	}
	if e.additional != nil {
		b = compact.AppendBuffer(b, e.additional.Data)
		b = append(b, e.additional.Signature[:]...)
	}
	if !e.Expires.IsZero() {
		b = compact.AppendUint64(b, uint64(max(e.Expires.Unix(), 0)))
	}
	b = compact.AppendUint(b, uint64(e.Uses))
	b = compact.AppendUint(b, uint64(len(e.answered)))
	for _, a := range e.answered {
		b = append(append(b, a.session[:]...), a.status)
	}
	return b
}

// LoadBook returns the book with a state that an earlier one gave to its keep. The
// error wraps [ErrBook].
func LoadBook(state []byte, keep func(ctx context.Context, state []byte) error) (*Book, error) {
	r := compact.NewReader(state)
	if v := r.Uint(); r.Err() == nil && v != bookVersion {
		return nil, fmt.Errorf("%w: version %d is not known", ErrBook, v)
	}
	b, n := NewBook(keep), r.Uint()
	if n > MaxInvites {
		return nil, fmt.Errorf("%w: %d invites", ErrBook, n)
	}
	for i := uint64(0); i < n && r.Err() == nil; i++ {
		e, err := readEntry(&r)
		if err != nil {
			return nil, err
		}
		b.invites = append(b.invites, e)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBook, err)
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrBook, r.Len())
	}
	return b, nil
}

func readEntry(r *compact.Reader) (*Entry, error) {
	flags := r.Uint()
	e := &Entry{Invite: r.Fixed32()}
	e.Key, e.Revoked = r.Fixed32(), flags&bookRevoked != 0
	if flags&bookEncrypted != 0 {
		k := r.Fixed32()
		e.EncryptionKey = &k
	}
	if flags&bookData != 0 {
		e.Data = append([]byte(nil), r.Buffer()...)
		e.additional = &Additional{Data: e.Data}
		copy(e.additional.Signature[:], r.Fixed(64))
	}
	if flags&bookExpires != 0 {
		s := r.Uint64()
		if s > math.MaxUint32 {
			return nil, fmt.Errorf("%w: an invite expires in second %d", ErrBook, s)
		}
		e.Expires = time.Unix(int64(s), 0)
	}
	uses, n := r.Uint(), r.Uint()
	if uses > math.MaxInt32 || n > MaxAnswered {
		return nil, fmt.Errorf("%w: %d uses, %d answers", ErrBook, uses, n)
	}
	e.Uses = int(uses)
	for i := uint64(0); i < n && r.Err() == nil; i++ {
		session, status := r.Fixed32(), r.Byte()
		if status > expired {
			return nil, fmt.Errorf("%w: an answer of status %d", ErrBook, status)
		}
		if err := e.note(session, status); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBook, err)
		}
	}
	if e.additional != nil && !hypercrypto.Verify(e.Invite, e.Data, e.additional.Signature[:]) {
		return nil, fmt.Errorf("%w: an invite's data is not signed by it", ErrBook)
	}
	return e, nil
}
