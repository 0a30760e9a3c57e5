package space

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// InviteOptions are the terms of an invite.
type InviteOptions struct {
	// Role is what the invited may do: viewer, editor or owner.
	Role Role
	// Uses is how many devices it lets in; 0 is any number.
	Uses int
	// Lasts is how long it is good; 0 is for ever.
	Lasts time.Duration
	// Label tells people what the invite is for. Empty is none.
	Label string
}

// Invitation is an invite as members see it.
type Invitation struct {
	ID      hypercrypto.Hash
	Role    Role
	Label   string
	Expires time.Time // zero: never
	Uses    uint64    // 0: any number
	Used    uint64
	Revoked bool
	// By is the person who made it, Made when.
	By   hypercrypto.PublicKey
	Made time.Time
}

// Preview is what an invite says of its space to who accepts it.
type Preview struct {
	Space, Inviter string
	Role           Role
	Home           bool
}

// previewVersion is the first field of what comes with an answer: uint version, uint
// flags (1: home), uint role, string space, string inviter. More may follow.
const previewVersion = 1

func (p *Preview) appendTo(b []byte) []byte {
	b = compact.AppendUint(compact.AppendUint(b, previewVersion), flag(p.Home, 1))
	b = compact.AppendUint(b, uint64(p.Role))
	return compact.AppendString(compact.AppendString(b, p.Space), p.Inviter)
}

func decodePreview(b []byte) (*Preview, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != previewVersion {
		return nil, fmt.Errorf("space: an invite of version %d", v)
	}
	flags := r.Uint()
	p := &Preview{Home: flags&1 != 0, Role: readRole(&r), Space: r.String(), Inviter: r.String()}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("space: what an invite says: %w", err)
	}
	if !validName(p.Space) {
		return nil, fmt.Errorf("space: what an invite says: the name")
	}
	return p, nil
}

// Invite makes an invite. It lets devices in while any member who may write is online,
// and is a secret.
func (s *Space) Invite(ctx context.Context, o InviteOptions) (*blindpairing.Invite, error) {
	if o.Uses < 0 || o.Uses > maxUses || o.Lasts < 0 {
		return nil, fault.New(fault.Usage, "an invite cannot have %d uses and last %v", o.Uses, o.Lasts).Hint("0 is any number, at most %d, and for ever", maxUses)
	}
	if o.Role < Viewer || o.Role > Owner {
		return nil, fault.New(fault.Usage, "an invite is for an owner, editor or viewer, not for a %s", o.Role)
	}
	if o.Label != "" {
		if err := checkName("invite", o.Label); err != nil {
			return nil, err
		}
	}
	p, _, err := s.self(ctx)
	if err != nil {
		return nil, err
	}
	if p == nil || p.role != Owner {
		return nil, fault.New(fault.Permission, "only owners of space %q invite", s.Name())
	}
	name, err := s.Setting(ctx, settingName)
	if err != nil {
		return nil, err
	}
	i := blindpairing.NewInvite(s.Key())
	rand.Read(i.Seed[:]) // never fails
	act := &inviteAction{public: i.KeyPair().Public, role: o.Role, uses: uint64(o.Uses), label: o.Label}
	if o.Lasts > 0 {
		i.Expires = time.Now().Add(o.Lasts).Truncate(time.Second)
		act.expires = uint64(i.Expires.Unix())
	}
	preview := Preview{Space: string(name), Inviter: p.name, Role: o.Role, Home: s.Record().Home}
	act.data = preview.appendTo(nil)
	act.signature = i.SignData(act.data).Signature
	if _, err := s.do(ctx, act); err != nil {
		return nil, err
	}
	return i, nil
}

// Invites returns all invites, in no order that means anything.
func (s *Space) Invites(ctx context.Context) ([]Invitation, error) {
	tree, release := s.snaps.use()
	defer release()
	list, err := records{tree}.invites(ctx)
	if err != nil {
		return nil, fmt.Errorf("read invites of space %q: %w", s.Name(), err)
	}
	var out []Invitation
	for _, i := range list {
		x := Invitation{ID: i.key, Role: i.rec.role, Label: i.rec.label, Uses: i.rec.uses, Used: i.rec.used, Revoked: i.rec.revoked, By: i.rec.by, Made: i.rec.made.Time()}
		if i.rec.expires != 0 {
			x.Expires = time.Unix(int64(i.rec.expires), 0).UTC()
		}
		out = append(out, x)
	}
	return out, nil
}

// Revoke ends an invite.
func (s *Space) Revoke(ctx context.Context, id hypercrypto.Hash) error {
	_, err := s.do(ctx, &revokeAction{invite: id})
	return err
}

// answer answers a request with an invite of the space.
func (s *Space) answer(ctx context.Context, q *blindpairing.Request) (*blindpairing.Reply, error) {
	inv, err := s.inviteOf(ctx, q.InviteID)
	if err != nil {
		return nil, err
	}
	o, err := q.Open(inv.public)
	if err != nil {
		return nil, err
	}
	c, err := decodeClaim(o.Receipt.UserData)
	if err == nil {
		err = c.verify(s.app.discovery)
	}
	if err != nil {
		return o.Refuse(blindpairing.ErrRejected), nil
	}
	err = s.letIn(ctx, inv, &admitAction{invite: q.InviteID, receipt: &o.Receipt, claim: c})
	switch {
	case err == nil:
		return o.Accept(s.welcome(inv)), nil
	case errors.Is(err, errRefused):
		s.l.opts.Log.Debug("space: a request is refused", "key", s.Key(), "error", err)
		return o.Refuse(err), nil
	}
	return nil, err
}

func (s *Space) inviteOf(ctx context.Context, id hypercrypto.Hash) (*invite, error) {
	tree, release := s.snaps.use()
	defer release()
	inv, err := records{tree}.invite(ctx, id)
	if err == nil && inv == nil {
		err = blindpairing.ErrUnknownInvite
	}
	return inv, err
}

// letIn makes a device a member, unless it is one: the same request may come again, or
// to another member.
func (s *Space) letIn(ctx context.Context, inv *invite, act *admitAction) error {
	tree, release := s.snaps.use()
	dev, err := records{tree}.device(ctx, act.claim.log)
	release()
	if err != nil {
		return err
	}
	if dev != nil && dev.until == 0 && dev.key == act.claim.proof.Device() {
		return nil
	}
	// An invite that is over is not worth a node.
	if err := inv.open(clock.Of(time.Now())); err != nil {
		return err
	}
	if _, err = s.do(ctx, act); err != nil {
		return err
	}
	if err := s.giveKeys(ctx, act.claim.log); err != nil {
		s.l.opts.Log.Debug("space: keys are given later", "key", s.Key(), "error", err)
	}
	return nil
}

// welcome is what is handed to a device that was let in.
func (s *Space) welcome(inv *invite) *blindpairing.Answer {
	k := [32]byte(*s.Record().Encryption)
	return &blindpairing.Answer{Key: s.Key(), EncryptionKey: &k, Additional: &blindpairing.Additional{Data: inv.data, Signature: inv.signature}}
}

// maxAgain is how often a space can be joined with one invite after it was forgotten.
const maxAgain = 50

// checkAbsent refuses a space that is here already.
func (l *Library) checkAbsent(k hypercrypto.DiscoveryKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, known := range l.records {
		if !known.Forgotten && key.Discovery() == k {
			return alreadyHere(known)
		}
	}
	return nil
}

func alreadyHere(known *Record) error {
	return fault.New(fault.Conflict, "this space is here already, as %q", known.Name).
		Hint("if this device was removed from it: cloudpal space leave %s --forget, and join then", fault.Word(known.Name))
}

// Join joins the space of an invite: it waits until a member lets this device in. name
// is what the space is called here; empty: as the inviting side calls it.
//
// The space may be empty yet when Join returns: see [Space.WaitInvited].
func (l *Library) Join(ctx context.Context, i *blindpairing.Invite, name string) (*Space, error) {
	if name != "" {
		if err := checkName("space", name); err != nil {
			return nil, err
		}
	}
	if err := l.checkAbsent(i.DiscoveryKey); err != nil {
		return nil, err // before the invite is used
	}
	id := i.ID()
	// Who asks again, after a crash, does so for the same log.
	r := Record{Name: name, namespace: "invite/" + id.String()}
	c, err := l.claim(ctx, r.namespace, &i.DiscoveryKey)
	for range maxAgain {
		if !errors.Is(err, corestore.ErrDeleted) {
			break
		}
		// It was in the space by this invite before, and forgot it.
		r.namespace += "/again"
		c, err = l.claim(ctx, r.namespace, &i.DiscoveryKey)
	}
	if err != nil {
		return nil, err
	}
	if err := c.fit(); err != nil {
		return nil, err
	}
	candidate, err := blindpairing.NewCandidate(i, c.appendTo(nil))
	if err != nil {
		return nil, err
	}
	a, err := l.opts.Pairing.Ask(ctx, candidate)
	switch {
	case errors.Is(err, blindpairing.ErrUsed):
		return nil, fault.New(fault.Permission, "the invite was used up").Hint("ask for another one")
	case errors.Is(err, blindpairing.ErrExpired):
		return nil, fault.New(fault.Permission, "the invite has expired").Hint("ask for another one")
	case errors.Is(err, blindpairing.ErrRejected):
		return nil, fault.New(fault.Permission, "the invite is not accepted: it was revoked, or this person or device was removed").Hint("ask for another one")
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fault.New(fault.Unavailable, "no member answers").Hint("a device of a member has to be online")
	case err != nil:
		return nil, err
	}
	if a.EncryptionKey == nil || a.Additional == nil {
		return nil, fault.New(fault.Corrupt, "the answer to the invite is none of a space")
	}
	p, err := decodePreview(a.Additional.Data)
	if err != nil {
		return nil, fault.Wrap(fault.Corrupt, err)
	}
	if r.Name == "" {
		r.Name = p.Space
	}
	k := hypercrypto.EncryptionKey(*a.EncryptionKey)
	r.Key, r.Encryption, r.Home = a.Key, &k, p.Home
	return l.add(ctx, r)
}
