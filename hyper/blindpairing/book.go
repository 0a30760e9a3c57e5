package blindpairing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Limits of a [Book].
const (
	// MaxInvites is how many invites a book holds.
	MaxInvites = 256
	// MaxAnswered is how many answers to one invite are remembered. Requests beyond
	// that get none.
	MaxAnswered = 256
	// MaxData is the largest additional data in bytes, so that an answer fits into a
	// record.
	MaxData = 700
)

var (
	// ErrUnknownInvite: the book has no such invite.
	ErrUnknownInvite = errors.New("blindpairing: no such invite")
	// ErrFull: the book, or the list of answers to an invite, is full.
	ErrFull = errors.New("blindpairing: full")

	errUndecided = errors.New("blindpairing: another candidate may be using the invite up")
)

// Book is a member's side of invites: which there are, what they are for, and what
// was answered to whom. It enforces what the messages do not: expiry, the number
// of uses, and that no session gets two different answers, restarts included. It
// is safe for concurrent use.
type Book struct {
	keep func(ctx context.Context, state []byte) error

	mu      sync.Mutex // guards invites, and is held while they are kept
	invites []*Entry
}

// Entry describes an invite in a book.
type Entry struct {
	// Invite is the invite's public key.
	Invite hypercrypto.PublicKey
	Terms
	// Revoked says that nobody is accepted any more.
	Revoked bool
	// Accepted and Refused count the answers so far.
	Accepted, Refused int

	additional *Additional // the data of Terms, signed
	answered   []answered
	deciding   int // requests that may become uses
}

// Terms are what an invite is for.
type Terms struct {
	// Key and EncryptionKey are handed to the candidate; the latter may be nil.
	Key           hypercrypto.Key
	EncryptionKey *[32]byte
	// Expires is when the invite ends, in whole seconds. Zero: never.
	Expires time.Time
	// Uses is how many candidates may be accepted. 0: any number.
	Uses int
	// Data is handed to the candidate, too; at most MaxData bytes.
	Data []byte
}

// Hints are what else an invite says to the candidate's program. They are not
// kept.
type Hints struct {
	Sensitive, Test bool
	Nodes           []netip.AddrPort
}

// answered is a session and the status that it was answered with.
type answered struct {
	session [32]byte
	status  byte
}

// NewBook returns an empty book. keep must store its state durably, and replace the
// one before; the state is a secret, because it has the encryption keys.
func NewBook(keep func(ctx context.Context, state []byte) error) *Book { return &Book{keep: keep} }

// Create makes an invite. Only the invite itself, which is returned, can be used to
// join; the book keeps what is needed to answer.
func (b *Book) Create(ctx context.Context, t Terms, h Hints) (*Invite, error) {
	if len(t.Data) > MaxData {
		return nil, fmt.Errorf("blindpairing: additional data of %d bytes, at most %d are possible", len(t.Data), MaxData)
	}
	if t.Uses < 0 {
		return nil, fmt.Errorf("blindpairing: an invite for %d uses", t.Uses)
	}
	i := &Invite{DiscoveryKey: t.Key.Discovery(), Expires: t.Expires.Truncate(time.Second), Sensitive: h.Sensitive, Test: h.Test, Nodes: h.Nodes}
	rand.Read(i.Seed[:]) // never fails
	e := &Entry{Invite: i.KeyPair().Public, Terms: t}
	e.Expires, e.Data = i.Expires, slices.Clone(t.Data)
	if len(t.Data) > 0 {
		e.additional = i.SignData(e.Data)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.invites) >= MaxInvites {
		return nil, ErrFull
	}
	if err := b.save(ctx, append(slices.Clone(b.invites), e)); err != nil {
		return nil, err
	}
	return i, nil
}

// Revoke ends an invite: candidates that were not answered yet are refused.
func (b *Book) Revoke(ctx context.Context, id hypercrypto.Hash) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return ErrUnknownInvite
	}
	return b.changeLocked(ctx, i, func(e *Entry) error { e.Revoked = true; return nil })
}

// Forget drops an invite and what was answered. Candidates get no answer any more.
func (b *Book) Forget(ctx context.Context, id hypercrypto.Hash) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return ErrUnknownInvite
	}
	return b.save(ctx, slices.Delete(slices.Clone(b.invites), i, i+1))
}

// Entries returns all invites, the oldest first.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Entry, len(b.invites))
	for i, e := range b.invites {
		out[i] = *e
	}
	return out
}

// Answer answers a request for a [Handler]. decide is asked once for each session
// that the terms allow, and is the moment to let the candidate in: nil accepts; a
// refusal is [ErrRejected] or wraps it; any other error leaves the request without
// an answer, for another try. What was decided is durable before it is returned; if
// the process ends before, decide is asked again.
//
// Errors: [ErrUnknownInvite], [ErrRequest], [ErrFull], that of decide, that of
// keeping the book.
func (b *Book) Answer(ctx context.Context, q *Request, decide func(context.Context, *Opened) error) (*Reply, error) {
	b.mu.Lock()
	i := b.index(q.InviteID)
	if i < 0 {
		b.mu.Unlock()
		return nil, ErrUnknownInvite
	}
	e := b.invites[i]
	b.mu.Unlock()
	o, err := q.Open(e.Invite)
	if err != nil {
		return nil, err
	}
	status, err := b.begin(q)
	if err != nil {
		return nil, err
	}
	var verdict error
	if status == undecided {
		verdict = decide(ctx, o)
	}
	if status, err = b.settle(ctx, q, status, verdict); err != nil {
		return nil, err
	}
	return e.reply(o, status), nil
}

// settle records the status of a session, which follows from the verdict if it was
// undecided.
func (b *Book) settle(ctx context.Context, q *Request, status byte, verdict error) (byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(q.InviteID)
	if i < 0 {
		return 0, ErrUnknownInvite // forgotten meanwhile
	}
	if status == undecided {
		b.invites[i].deciding--
		switch {
		case verdict == nil:
			status = accepted
		case errors.Is(verdict, ErrRejected):
			status = rejected
		default:
			return 0, verdict
		}
	}
	return status, b.changeLocked(ctx, i, func(e *Entry) error { return e.note(q.Session, status) })
}

// undecided is no status of an answer.
const undecided = 255

// begin returns the status that a session was or has to be answered with, or
// undecided; then a use is reserved.
func (b *Book) begin(q *Request) (status byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(q.InviteID)
	if i < 0 {
		return 0, ErrUnknownInvite
	}
	e := b.invites[i]
	if status, ok := e.statusOf(q.Session); ok {
		return status, nil
	}
	switch {
	case len(e.answered)+e.deciding >= MaxAnswered:
		return 0, ErrFull
	case e.Revoked:
		return rejected, nil
	case !e.Expires.IsZero() && !time.Now().Before(e.Expires):
		return expired, nil
	case e.Uses > 0 && e.Accepted >= e.Uses:
		return used, nil
	case e.Uses > 0 && e.Accepted+e.deciding >= e.Uses:
		return 0, errUndecided
	}
	e.deciding++
	return undecided, nil
}

// changeLocked keeps a changed copy of an entry. mu is held.
func (b *Book) changeLocked(ctx context.Context, i int, fn func(*Entry) error) error {
	e := *b.invites[i]
	if err := fn(&e); err != nil {
		return err
	}
	list := slices.Clone(b.invites)
	list[i] = &e
	return b.save(ctx, list)
}

// save keeps a new state and makes it the present one. mu is held.
func (b *Book) save(ctx context.Context, list []*Entry) error {
	if err := b.keep(ctx, appendBook(nil, list)); err != nil {
		return fmt.Errorf("keep the invites: %w", err)
	}
	b.invites = list
	return nil
}

func (b *Book) index(id hypercrypto.Hash) int {
	return slices.IndexFunc(b.invites, func(e *Entry) bool { return InviteID(e.Invite) == id })
}

// statusOf returns what a session was answered.
func (e *Entry) statusOf(session [32]byte) (byte, bool) {
	for _, a := range e.answered {
		if a.session == session {
			return a.status, true
		}
	}
	return 0, false
}

// note records an answer. An equal one is there already if two ways brought the
// same request.
func (e *Entry) note(session [32]byte, status byte) error {
	if old, ok := e.statusOf(session); ok {
		if old != status {
			return fmt.Errorf("blindpairing: the session was answered differently meanwhile")
		}
		return nil
	}
	e.answered = append(slices.Clip(e.answered), answered{session, status})
	if status == accepted {
		e.Accepted++
	} else {
		e.Refused++
	}
	return nil
}

func (e *Entry) reply(o *Opened, status byte) *Reply {
	switch status {
	case accepted:
		return o.Accept(&Answer{Key: e.Key, EncryptionKey: e.EncryptionKey, Additional: e.additional})
	case used:
		return o.Refuse(ErrUsed)
	case expired:
		return o.Refuse(ErrExpired)
	}
	return o.Refuse(ErrRejected)
}
