package space

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/internal/fault"
)

// simInvite is an invite with what it was made for.
type simInvite struct {
	*blindpairing.Invite
	role Role
}

// some returns a device that has the space.
func (w *simulation) some() *simDevice {
	for {
		if d := w.devices[w.rng.IntN(len(w.devices))]; d.space != nil {
			return d
		}
	}
}

// gather lets most of the devices in, and perhaps somebody who lies.
func (w *simulation) gather() {
	first := w.devices[0]
	for _, d := range w.devices[1:] {
		if w.one(6) {
			continue // comes later, perhaps
		}
		first.invite([]Role{Editor, Editor, Owner, Owner, Viewer}[w.rng.IntN(5)], 0)
		d.join(first)
		w.heal()
	}
	if w.one(3) && !w.jumps { // a state has no trace of nodes that were passed over
		w.addLiar()
	}
	w.pass(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
	if !w.one(4) {
		w.heal()
	}
}

// step lets something happen.
func (w *simulation) step() {
	d, q := w.some(), w.some()
	if w.liar != nil && w.one(4) {
		w.liar.lie(d)
	}
	switch x := w.rng.IntN(100); {
	case x < 54:
		d.write()
		if w.drops && w.one(4) {
			d.free()
		}
	case x < 60 && w.jumps:
		d.jump(q)
	case x < 78:
		if d != q && (!q.slow || w.one(8)) {
			w.note("device %d to device %d: %v", d.n, q.n, d.send(q, w.one(2)))
		}
	case x < 83:
		d.ack()
	case x < 85:
		d.free()
	case x < 93:
		d.govern()
	case x < 96:
		d.restart(w.one(2))
	case x < 97:
		w.recover()
	default:
		w.devices[w.rng.IntN(len(w.devices))].join(d)
	}
	switch x := w.rng.IntN(8); {
	case x < 3: // no time at all
		w.settle()
	case x < 7:
		w.pass(time.Duration(w.rng.IntN(300)) * time.Millisecond)
	default:
		w.pass(time.Duration(w.rng.IntN(20)) * time.Second)
	}
}

func (d *simDevice) ack() {
	w := d.w
	if err := d.space.base.Ack(w.ctx); err != nil && !unable(d.space.explain(err)) {
		w.fail("ack at %d: %v", d.n, err)
	}
	w.note("ack %d", d.n)
	w.settle()
}

// unable tells whether an error says that a device cannot do something now.
func unable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) == fault.Permission || fault.KindOf(err) == fault.Unavailable || fault.KindOf(err) == fault.Conflict
}

// govern changes who is in the space and what they may do, if the device may.
func (d *simDevice) govern() {
	w := d.w
	ctx, cancel := context.WithTimeout(w.ctx, 300*time.Millisecond)
	defer cancel()
	other, most := w.people[w.rng.IntN(len(w.people))], Owner
	if w.liar != nil && w.one(3) {
		other, most = w.liar.human, Editor // what an owner does counts, whatever it is
	}
	var what string
	var err error
	switch w.rng.IntN(11) {
	case 0, 1, 2:
		role := min(most, Viewer+Role(w.rng.IntN(3)))
		if w.jumps {
			role = max(role, Editor) // for the same reason
		}
		what, err = fmt.Sprint("makes ", other.name, " ", role), d.space.SetRole(ctx, other.key(), role)
	case 3:
		what, err = fmt.Sprint("removes ", other.name), d.space.Remove(ctx, other.key())
	case 4:
		q := w.some()
		what, err = fmt.Sprint("removes device ", q.n), d.space.RemoveDevice(ctx, q.space.Log())
	case 5:
		what, err = "renames the space", d.space.SetSetting(ctx, settingName, fmt.Append(nil, "plans ", len(w.story)))
	case 6:
		what, err = "takes another name", d.space.Rename(ctx, fmt.Sprint("person ", len(w.story)))
	case 7:
		if d.n > 0 && w.one(2) {
			what, err = "leaves", d.space.doAnyway(ctx, &leaveAction{})
		}
	case 8:
		if n := len(w.invites); n > 0 {
			what, err = "revokes an invite", d.space.Revoke(ctx, w.invites[w.rng.IntN(n)].ID())
		}
	case 9:
		q := w.some()
		_, err = d.space.do(ctx, &callAction{q.space.Log(), fmt.Sprint("device ", len(w.story))})
		what = fmt.Sprint("names device ", q.n)
	case 10:
		d.invite(Viewer+Role(w.rng.IntN(3)), w.rng.IntN(3))
	}
	if err != nil && !unable(err) {
		w.fail("device %d %s: %v", d.n, what, err)
	}
	w.note("device %d %s: %v", d.n, what, err)
}

func (d *simDevice) invite(role Role, uses int) {
	w := d.w
	i, err := d.space.Invite(w.ctx, InviteOptions{Role: role, Uses: uses})
	w.note("device %d invites a %s: %v", d.n, role, err)
	if err == nil {
		w.invites = append(w.invites, simInvite{i, role})
	} else if !unable(err) {
		w.fail("invite: %v", err)
	}
}

// join lets a device in that is not, with the help of a device that is: by an invite, or
// by what another device of the person hands over.
func (d *simDevice) join(by *simDevice) {
	w := d.w
	if d == by {
		return
	}
	if d.space != nil {
		own, _, err := d.space.self(w.ctx)
		w.must("self", err)
		if own != nil {
			return
		}
	}
	ns := d.namespace()
	r := Record{Name: "plans", Key: w.key, Encryption: w.enc, namespace: ns}
	if d.who == by.who && w.one(2) {
		r.epochs = by.space.ring.all()
	} else if !by.answers(d, ns) {
		return
	}
	if d.space != nil {
		for _, c := range d.copies { // what is stored goes too
			w.must("close", c.Close())
		}
		w.must("forget", d.Forget(w.ctx, d.space))
		// The simulation copies logs by writing them, which the store refuses for those
		// that were written here and deleted.
		d.space = nil
		d.close()
		d.mem, d.held = vfs.NewCrashableMem(), make(simHeld)
		d.open()
	}
	w.note("device %d opens the space by device %d", d.n, by.n)
	d.enter(r)
}

// answers lets another device in by an invite.
func (d *simDevice) answers(q *simDevice, namespace string) bool {
	w := d.w
	if len(w.invites) == 0 {
		return false
	}
	i := w.invites[len(w.invites)-1-w.rng.IntN(min(2, len(w.invites)))]
	c, err := q.claim(w.ctx, namespace, &i.DiscoveryKey)
	w.must("claim", err)
	return d.answer(c, i)
}

// answer answers the request of a device with an invite.
func (d *simDevice) answer(c *claim, i simInvite) bool {
	w := d.w
	candidate, err := blindpairing.NewCandidate(i.Invite, c.appendTo(nil))
	w.must("candidate", err)
	reply, err := d.space.answer(w.ctx, candidate.Request)
	if err != nil {
		if !errors.Is(err, blindpairing.ErrUnknownInvite) && !errors.Is(err, errRefused) && !unable(err) {
			w.fail("device %d answers: %v", d.n, err)
		}
		w.note("device %d does not answer: %v", d.n, err)
		return false
	}
	a, err := candidate.Receive(reply.Message)
	w.note("device %d answers an invite for a %s: %v", d.n, i.role, err)
	return err == nil && a.Key == w.key && *a.EncryptionKey == *w.enc
}

// rest lets everybody hear of everything and do what they do by themselves, until nobody
// writes any more.
func (w *simulation) rest() {
	for n := 0; ; n++ {
		w.fill()
		w.heal()
		if n < 3 {
			for _, d := range w.devices {
				if d.space != nil {
					d.ack()
					w.heal()
					d.free()
				}
			}
		}
		w.pass(7 * time.Second) // stewards look every two seconds, and wait for their turn
		quiet := true
		for _, d := range w.devices {
			for _, q := range w.devices {
				quiet = quiet && (d == q || !d.send(q, false))
			}
		}
		if quiet && n >= 3 {
			return
		}
		if n > 100 {
			w.fail("they write for ever")
		}
	}
}
