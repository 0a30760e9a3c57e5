package base

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// InviteOptions are the terms of an invite.
type InviteOptions struct {
	// Uses is how many devices it lets in; 0 is any number.
	Uses int
	// Lasts is how long it is good; 0 is for ever.
	Lasts time.Duration
	// Indexer makes the devices take part in confirming the order.
	Indexer bool
}

// dataIndexer is what an invite for indexers carries.
var dataIndexer = []byte("indexer")

// Invite makes an invite. It lets devices in while Serve runs on some member that
// made it.
func (b *Base) Invite(ctx context.Context, o InviteOptions) (*blindpairing.Invite, error) {
	if !b.Status().Writable {
		return nil, fault.New(fault.Permission, "only members of base %q can invite", b.record.Name)
	}
	if o.Uses < 0 || o.Lasts < 0 {
		return nil, fault.New(fault.Usage, "an invite cannot have %d uses and last %v", o.Uses, o.Lasts).Hint("0 is any number, and for ever")
	}
	book, err := b.book()
	if err != nil {
		return nil, err
	}
	t := blindpairing.Terms{Key: b.record.key, Uses: o.Uses}
	if b.record.encryption != nil {
		k := [32]byte(*b.record.encryption)
		t.EncryptionKey = &k
	}
	if o.Lasts > 0 {
		t.Expires = time.Now().Add(o.Lasts)
	}
	if o.Indexer {
		t.Data = dataIndexer
	}
	i, err := book.Create(ctx, t, blindpairing.Hints{})
	if errors.Is(err, blindpairing.ErrFull) {
		return nil, fault.New(fault.Full, "base %q has too many invites", b.record.Name)
	}
	return i, err
}

// book returns the invites of the base.
func (b *Base) book() (*blindpairing.Book, error) {
	b.o.mu.Lock()
	defer b.o.mu.Unlock()
	if b.o.book != nil {
		return b.o.book, nil
	}
	name := b.record.Name
	keep := func(ctx context.Context, state []byte) error {
		b.l.mu.Lock()
		defer b.l.mu.Unlock()
		if b.l.closed {
			return fault.New(fault.Closing, "the node is closing")
		}
		r := b.l.records[name]
		r.Book = state
		return b.l.put(ctx, r)
	}
	var err error
	if b.record.Book == nil {
		b.o.book = blindpairing.NewBook(keep)
	} else if b.o.book, err = blindpairing.LoadBook(b.record.Book, keep); err != nil {
		return nil, fmt.Errorf("read invites of base %q: %w", name, err)
	}
	return b.o.book, nil
}

// ServeInvites lets devices with invites in until ctx ends. report is called with the
// log of each. It is [fault.Conflict] if it runs already.
func (b *Base) ServeInvites(ctx context.Context, report func(log hypercrypto.Key)) error {
	book, err := b.book()
	if err != nil {
		return err
	}
	err = b.l.opts.Pairing.Serve(ctx, b.record.key.Discovery(), func(ctx context.Context, q *blindpairing.Request) (*blindpairing.Reply, error) {
		return book.Answer(ctx, q, func(ctx context.Context, o *blindpairing.Opened) error {
			if len(o.Receipt.UserData) < 32 {
				return fmt.Errorf("%w: no log is named", blindpairing.ErrRejected)
			}
			log := hypercrypto.Key(o.Receipt.UserData[:32])
			if err := b.AddMember(ctx, log, b.invitesIndexer(book, q)); err != nil {
				return err
			}
			report(log)
			return nil
		})
	})
	if errors.Is(err, blindpairing.ErrActive) {
		return fault.New(fault.Conflict, "invites to base %q are answered by another command already", b.record.Name)
	}
	return err
}

// invitesIndexer tells what the invite of a request is for.
func (b *Base) invitesIndexer(book *blindpairing.Book, q *blindpairing.Request) bool {
	for _, e := range book.Entries() {
		if blindpairing.InviteID(e.Invite) == q.InviteID {
			return string(e.Data) == string(dataIndexer)
		}
	}
	return false
}

// Accept joins the base of an invite: it waits until a member lets this device in.
func (l *Library) Accept(ctx context.Context, name string, i *blindpairing.Invite) (*Base, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	// The log is chosen before the base is known.
	r := Record{Name: name, Space: spaceOf(i)}
	log, err := l.localLog(ctx, r.Space)
	if err != nil {
		return nil, err
	}
	c, err := blindpairing.NewCandidate(i, log[:])
	if err != nil {
		return nil, err
	}
	a, err := l.opts.Pairing.Ask(ctx, c)
	switch {
	case errors.Is(err, blindpairing.ErrUsed), errors.Is(err, blindpairing.ErrExpired), errors.Is(err, blindpairing.ErrRejected):
		return nil, fault.New(fault.Permission, "the invite is not accepted: %w", err).Hint("ask for another one")
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fault.New(fault.Unavailable, "no member answers").Hint("somebody has to run: cloudpal base invite")
	case err != nil:
		return nil, err
	}
	r.key = a.Key
	if a.EncryptionKey != nil {
		k := hypercrypto.EncryptionKey(*a.EncryptionKey)
		r.encryption = &k
	}
	return l.add(ctx, r, &r.key)
}

// spaceOf makes the namespace of an invite: who asks again, after a crash, does so for
// the same log.
func spaceOf(i *blindpairing.Invite) string {
	id := i.ID()
	return "invite/" + id.String()
}

// localLog returns the key of this device's log in a namespace.
func (l *Library) localLog(ctx context.Context, space string) (hypercrypto.Key, error) {
	store := l.store.Namespace(namespace(space))
	defer store.Close()
	c, err := store.Get(ctx, corestore.GetOptions{Name: "local", Passive: true})
	if err != nil {
		return hypercrypto.Key{}, fmt.Errorf("make log: %w", err)
	}
	return c.Key(), nil
}
