package space

import (
	"context"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// admit lets a device in: one of a person who is a member, or one whose person has an
// invite.
func (x *execution) admit(ctx context.Context, act *admitAction) error {
	c := act.claim
	if x.w.outside {
		if c.log != x.n.From {
			return refuse("log %s speaks for log %s", x.n.From, c.log)
		}
	} else if err := x.w.may(Editor); err != nil {
		return err
	}
	if err := c.verify(x.a.discovery); err != nil {
		return err
	}
	inv, err := x.redeem(ctx, act)
	if err != nil {
		return err
	}
	if err := x.checkChain(ctx, c, inv); err != nil {
		return err
	}
	p, err := x.personOf(ctx, c, inv)
	if err != nil {
		return err
	}
	if err := x.checkLogs(ctx, c, inv); err != nil {
		return err
	}
	if err := x.d.putPerson(ctx, c.proof.Identity, p); err != nil {
		return err
	}
	if err := x.d.putDevice(ctx, c.log, x.newDevice(c)); err != nil {
		return err
	}
	if inv != nil {
		inv.used++
		if err := x.d.putInvite(ctx, inv); err != nil {
			return err
		}
	}
	if !p.role.writes() {
		return nil
	}
	return x.writers(ctx, c.proof.Identity, true)
}

// redeem returns the invite of an admission, nil if it has none.
func (x *execution) redeem(ctx context.Context, act *admitAction) (*invite, error) {
	if act.receipt == nil {
		return nil, nil
	}
	inv, err := x.d.invite(ctx, act.invite)
	if err != nil {
		return nil, err
	}
	if inv == nil || !act.receipt.Verify(inv.public) {
		return nil, refuse("%w", blindpairing.ErrRejected)
	}
	return inv, inv.open(x.time)
}

// open tells why an invite lets nobody in at a time.
func (i *invite) open(t clock.Time) error {
	switch {
	case i.revoked:
		return refuse("the invite was revoked: %w", blindpairing.ErrRejected)
	case i.expires != 0 && uint64(t.Time().Unix()) >= i.expires:
		return refuse("%w", blindpairing.ErrExpired)
	case i.uses != 0 && i.used >= i.uses:
		return refuse("%w", blindpairing.ErrUsed)
	}
	return nil
}

// checkChain refuses devices that were removed, and those that they vouch for. A removed
// device itself can come back by a later invite.
func (x *execution) checkChain(ctx context.Context, c *claim, inv *invite) error {
	for i, l := range c.proof.Chain {
		until, err := x.d.removed(ctx, l.Device)
		if err != nil {
			return err
		}
		last := i == len(c.proof.Chain)-1
		if until != 0 && !(last && inv != nil && inv.since > until) {
			return refuse("device %s was removed", l.Device)
		}
	}
	return nil
}

// personOf returns the record of a person who is or becomes a member.
func (x *execution) personOf(ctx context.Context, c *claim, inv *invite) (*person, error) {
	p, err := x.d.person(ctx, c.proof.Identity)
	if err != nil {
		return nil, err
	}
	home, err := x.d.number(ctx, settingHome)
	if err != nil {
		return nil, err
	}
	switch {
	case p != nil && p.role == Mirror:
		return nil, refuse("person %s has the key of a mirror", c.proof.Identity)
	case p != nil && c.proof.Epoch < p.epoch:
		return nil, refuse("the proof is older than one that was seen of this person")
	case p != nil && p.until == 0:
		p.epoch = c.proof.Epoch
		if inv != nil {
			p.role = max(p.role, inv.role)
		}
		return p, nil
	case inv == nil:
		return nil, refuse("person %s is no member", c.proof.Identity)
	case home != 0:
		return nil, refuse("a home is one person's")
	case p != nil && inv.since <= p.until:
		return nil, refuse("person %s was removed after the invite was made", c.proof.Identity)
	}
	n := &person{role: inv.role, name: c.personName, epoch: c.proof.Epoch, since: x.d.position}
	if n.name == "" && p != nil {
		n.name = p.name
	}
	return n, nil
}

// checkLogs refuses logs that others have, and those that were removed. A device that
// comes with another log gives up the one before.
func (x *execution) checkLogs(ctx context.Context, c *claim, inv *invite) error {
	key := c.proof.Device()
	dev, err := x.d.device(ctx, c.log)
	if err != nil {
		return err
	}
	switch {
	case dev == nil:
	case dev.key != key:
		return refuse("log %s is another device's", c.log)
	case dev.until == 0:
		return refuse("log %s is a member's already", c.log)
	case inv == nil || inv.since <= dev.until:
		return refuse("log %s was removed", c.log)
	}
	before, ok, err := x.d.logOf(ctx, key)
	if err != nil || !ok || before == c.log {
		return err
	}
	old, err := x.d.device(ctx, before)
	if err != nil || old == nil || old.until != 0 {
		return err
	}
	return x.end(ctx, before, old)
}

// writers makes all devices of a person writers, or ends that.
func (x *execution) writers(ctx context.Context, who hypercrypto.PublicKey, write bool) error {
	devices, err := x.d.devices(ctx)
	if err != nil {
		return err
	}
	for _, dev := range devices {
		switch {
		case dev.rec.person != who || dev.rec.until != 0 || write && dev.rec.indexer:
		case write:
			err = x.addWriter(dev.key)
		default:
			err = x.stop(ctx, dev.key, dev.rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stop ends that a device writes.
func (x *execution) stop(ctx context.Context, log hypercrypto.Key, dev *device) error {
	if dev.indexer {
		dev.indexer = false
		if err := x.d.putDevice(ctx, log, dev); err != nil {
			return err
		}
		turn, err := x.d.number(ctx, settingTurn)
		if err != nil {
			return err
		}
		if err := x.d.putNumber(ctx, settingTurn, turn+1); err != nil {
			return err
		}
	}
	return x.removeWriter(log)
}

// end ends the membership of a device. Its record stays: it says whose operations
// those of the log are.
func (x *execution) end(ctx context.Context, log hypercrypto.Key, dev *device) error {
	p, err := x.d.person(ctx, dev.person)
	if err != nil {
		return err
	}
	if p != nil && p.role.writes() {
		if err := x.stop(ctx, log, dev); err != nil {
			return err
		}
	}
	dev.until = x.d.position
	if err := x.d.put(ctx, keyOf(prefixDevice, log[:]), dev.appendTo(nil)); err != nil {
		return err
	}
	return x.d.putNumber(ctx, settingRotate, x.d.position)
}

// remove ends the membership of a person with all devices.
func (x *execution) remove(ctx context.Context, who hypercrypto.PublicKey) error {
	p, err := x.d.person(ctx, who)
	if err != nil {
		return err
	}
	if p == nil || p.until != 0 {
		return refuse("person %s is no member", who)
	}
	if err := x.keepsOwner(ctx, who, p); err != nil {
		return err
	}
	devices, err := x.d.devices(ctx)
	if err != nil {
		return err
	}
	for _, dev := range devices {
		if dev.rec.person == who && dev.rec.until == 0 {
			if err := x.end(ctx, dev.key, dev.rec); err != nil {
				return err
			}
		}
	}
	p.until = x.d.position
	return x.d.putPerson(ctx, who, p)
}

// keepsOwner refuses to take away the role of the last owner.
func (x *execution) keepsOwner(ctx context.Context, who hypercrypto.PublicKey, p *person) error {
	if p.role != Owner {
		return nil
	}
	people, err := x.d.people(ctx)
	if err != nil {
		return err
	}
	for _, other := range people {
		if other.key != who && other.rec.role == Owner && other.rec.until == 0 {
			return nil
		}
	}
	return refuse("%w", errLastOwner)
}

func (x *execution) leave(ctx context.Context) error {
	if err := x.w.may(Viewer); err != nil {
		return err
	}
	return x.remove(ctx, x.w.device.person)
}

// removeDevice removes a device. Everybody may remove their own ones, owners all.
func (x *execution) removeDevice(ctx context.Context, act *removeDeviceAction) error {
	if err := x.w.may(Viewer); err != nil {
		return err
	}
	dev, err := x.d.device(ctx, act.log)
	if err != nil {
		return err
	}
	if dev == nil || dev.until != 0 {
		return refuse("log %s is no member's", act.log)
	}
	if dev.person != x.w.device.person {
		if x.w.outside {
			return refuse("log %s is no writer's", x.n.From)
		}
		if err := x.w.may(Owner); err != nil {
			return err
		}
	}
	devices, err := x.d.devices(ctx)
	if err != nil {
		return err
	}
	for _, other := range devices {
		if other.key != act.log && other.rec.person == dev.person && other.rec.until == 0 {
			return x.end(ctx, act.log, dev)
		}
	}
	// With the last device the person goes.
	return x.remove(ctx, dev.person)
}

func (x *execution) changeRole(ctx context.Context, act *roleAction) error {
	p, err := x.d.person(ctx, act.person)
	if err != nil {
		return err
	}
	if p == nil || p.until != 0 || p.role == Mirror || act.role == Mirror {
		return refuse("person %s cannot become %s", act.person, act.role)
	}
	if act.role < p.role {
		if err := x.keepsOwner(ctx, act.person, p); err != nil {
			return err
		}
	}
	before := p.role.writes()
	p.owned = p.role == Owner && act.role != Owner || p.owned && act.role != Owner
	p.role = act.role
	if before != p.role.writes() {
		if err := x.writers(ctx, act.person, p.role.writes()); err != nil {
			return err
		}
	}
	return x.d.putPerson(ctx, act.person, p)
}

func (x *execution) addMirror(ctx context.Context, act *mirrorAction) error {
	p, err := x.d.person(ctx, act.node)
	if err != nil {
		return err
	}
	if p != nil && (p.until == 0 || p.role != Mirror) {
		return refuse("%s is in it already", act.node)
	}
	if !validName(act.name) {
		return refuse("the name of mirror %s", act.node)
	}
	return x.d.putPerson(ctx, act.node, &person{role: Mirror, name: act.name, since: x.d.position})
}

func (x *execution) invite(ctx context.Context, act *inviteAction) error {
	id := blindpairing.InviteID(act.public)
	old, err := x.d.invite(ctx, id)
	if err != nil {
		return err
	}
	if old != nil || act.role == Mirror || act.uses > maxUses || act.label != "" && !validName(act.label) {
		return refuse("invite %s", id)
	}
	return x.d.putInvite(ctx, &invite{inviteAction: *act, by: x.w.device.person, since: x.d.position, made: x.time})
}

func (x *execution) revoke(ctx context.Context, act *revokeAction) error {
	inv, err := x.d.invite(ctx, act.invite)
	if err != nil {
		return err
	}
	if inv == nil {
		return refuse("invite %s is not known", act.invite)
	}
	inv.revoked = true
	return x.d.putInvite(ctx, inv)
}
