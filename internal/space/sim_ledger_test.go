package space

import (
	"fmt"
	"maps"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ledger says in plain terms who may do what in a space, going by what had an effect and
// in which order.
type ledger struct {
	roles   map[hypercrypto.PublicKey]Role // of members
	devices map[hypercrypto.Key]ledgerDevice
	invites map[hypercrypto.PublicKey]*ledgerInvite
}

type ledgerDevice struct {
	person, key hypercrypto.PublicKey
	name        string
	described   bool // it has said what it is
	gone        bool
}

type ledgerInvite struct {
	role       Role
	uses, used uint64
	revoked    bool
}

func newLedger() *ledger {
	return &ledger{make(map[hypercrypto.PublicKey]Role), make(map[hypercrypto.Key]ledgerDevice), make(map[hypercrypto.PublicKey]*ledgerInvite)}
}

// role returns what the owner of a log may do; 0 is nothing.
func (l *ledger) role(log hypercrypto.Key) Role {
	if d, ok := l.devices[log]; ok && !d.gone {
		return l.roles[d.person]
	}
	return 0
}

// writers returns the logs whose operations of files count.
func (l *ledger) writers() map[hypercrypto.Key]bool {
	out := make(map[hypercrypto.Key]bool)
	for log := range l.devices {
		out[log] = l.role(log) >= Editor
	}
	return out
}

// needs returns the role that an action is for.
func needs(act action, author, of ledgerDevice) Role {
	switch act.(type) {
	case *leaveAction, *renameAction, *deviceAction, *callAction, *lackAction:
		return Viewer
	case *removeDeviceAction:
		if author.person == of.person {
			return Viewer
		}
	case *shareAction:
		return Editor
	}
	return Owner
}

// apply enters an action that had an effect. The error says why it should not have had.
func (l *ledger) apply(log hypercrypto.Key, act action) error {
	author := l.devices[log]
	switch act := act.(type) {
	case *createAction:
		if len(l.devices) > 0 {
			return fmt.Errorf("the space is created again")
		}
		l.enter(act.claim, Owner)
		return nil
	case *admitAction:
		if log != act.claim.log && l.role(log) < Editor {
			return fmt.Errorf("a %s lets somebody in", l.role(log))
		}
		return l.admit(act)
	case *recoverAction:
		return l.recover(log, act)
	}
	if have, need := l.role(log), needs(act, author, l.devices[removed(act)]); have < need {
		return fmt.Errorf("a %s does what is for a %s", have, need)
	}
	switch act := act.(type) {
	case *leaveAction:
		l.remove(author.person)
	case *removeAction:
		l.remove(act.person)
	case *removeDeviceAction:
		l.removeDevice(act.log)
	case *roleAction:
		if l.roles[act.person] == 0 {
			return fmt.Errorf("somebody who is not there is a %s", act.role)
		}
		l.roles[act.person] = act.role
	case *deviceAction:
		if !author.described && (author.name == "x" || strings.HasPrefix(act.name, author.name)) {
			author.name = act.name // there was no room for all of it
		}
		author.described = true
		l.devices[log] = author
	case *callAction:
		d := l.devices[act.log]
		if d.gone || d.person != author.person {
			return fmt.Errorf("somebody names another's device")
		}
		d.name = act.name
		l.devices[act.log] = d
	case *inviteAction:
		l.invites[act.public] = &ledgerInvite{role: act.role, uses: act.uses}
	case *revokeAction:
		for k, i := range l.invites {
			i.revoked = i.revoked || inviteID(k) == act.invite
		}
	case *createAction:
		return fmt.Errorf("%T", act)
	}
	for _, r := range l.roles {
		if r == Owner {
			return nil
		}
	}
	return fmt.Errorf("nobody is owner")
}

func removed(act action) (log hypercrypto.Key) {
	if a, ok := act.(*removeDeviceAction); ok {
		log = a.log
	}
	return log
}

func (l *ledger) admit(act *admitAction) error {
	who := act.claim.proof.Identity
	role := l.roles[who]
	if act.receipt != nil {
		var inv *ledgerInvite
		for k, i := range l.invites {
			if inviteID(k) == act.invite {
				inv = i
			}
		}
		if inv == nil || inv.revoked || inv.uses > 0 && inv.used >= inv.uses {
			return fmt.Errorf("an invite that is over lets somebody in")
		}
		inv.used++
		role = max(role, inv.role)
	}
	if role == 0 {
		return fmt.Errorf("somebody comes without an invite")
	}
	l.enter(act.claim, role)
	return nil
}

func (l *ledger) enter(c *claim, role Role) {
	key := c.proof.Device()
	for log, d := range l.devices {
		if d.key == key {
			d.gone = true
			l.devices[log] = d
		}
	}
	l.roles[c.proof.Identity] = role
	l.devices[c.log] = ledgerDevice{person: c.proof.Identity, key: key, name: c.deviceName}
}

func (l *ledger) remove(who hypercrypto.PublicKey) {
	delete(l.roles, who)
	for log, d := range l.devices {
		if d.person == who {
			d.gone = true
			l.devices[log] = d
		}
	}
}

func (l *ledger) removeDevice(log hypercrypto.Key) {
	d := l.devices[log]
	d.gone = true
	l.devices[log] = d
	for _, other := range l.devices {
		if other.person == d.person && !other.gone {
			return
		}
	}
	delete(l.roles, d.person)
}

// compare compares the ledger with what a device says of members and devices.
func (l *ledger) compare(members []Member, devices []Device) error {
	roles := make(map[hypercrypto.PublicKey]Role)
	for _, m := range members {
		if !m.Removed {
			roles[m.Person] = m.Role
		}
	}
	if !maps.Equal(roles, l.roles) {
		return fmt.Errorf("members are %v, and have to be %v", roles, l.roles)
	}
	for _, d := range devices {
		if x := l.devices[d.Log]; x.gone != d.Removed || x.person != d.Person || x.name != d.Name {
			return fmt.Errorf("device %+v has to be %+v", d, x)
		}
	}
	if len(devices) != len(l.devices) {
		return fmt.Errorf("%d devices of %d", len(devices), len(l.devices))
	}
	return nil
}
