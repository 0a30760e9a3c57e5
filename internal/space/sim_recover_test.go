package space

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// simRecovered counts recoveries, simJumps jumps to signed states.
var simRecovered, simJumps atomic.Int64

// recover loses the device that alone confirms, for good, and has an owner's phrase go on
// with the space: on a device that is left, or on a new one. Before that everybody hears of
// what anybody still has.
func (w *simulation) recover() {
	x := w.soleIndexer()
	if x == nil || len(w.devices) < 2 || w.lost != nil {
		return
	}
	all := w.devices
	w.devices = slices.DeleteFunc(slices.Clone(all), func(d *simDevice) bool { return d == x })
	w.heal()
	owners, by := w.owners()
	if by == nil { // nobody else is left who has the space
		w.devices = all
		return
	}
	w.note("device %d is lost", x.n)
	x.close()
	w.lost = x
	if len(owners) == 0 || w.one(3) {
		if who, ok := pick(w, w.ownersAt(by)); ok {
			owners = []*simDevice{w.newDevice(who, by)}
		}
	}
	d, ok := pick(w, owners)
	if !ok {
		w.fail("the space has no owner")
	}
	w.heal()
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	lost := hypercrypto.DefaultManifest(w.logs[x.log].Public).Key()
	err := d.space.Recover(ctx, w.people[d.who].keys, []hypercrypto.Key{lost})
	w.note("device %d recovers the space with the phrase of %s: %v", d.n, w.people[d.who].name, err)
	if err != nil && !unable(err) {
		w.fail("recover: %v", err)
	}
	if w.recovered = err == nil; w.recovered {
		simRecovered.Add(1)
	}
	w.settle()
	w.heal()
	if w.recovered {
		if st := d.space.base.Status(); len(st.Indexers) != 1 || st.Indexers[0].Key != d.space.Log() {
			w.fail("device %d recovered the space, and does not confirm: %+v", d.n, st)
		}
	}
}

// owners returns the devices of owners that can read all that they have, and one such device
// of anybody in the space.
func (w *simulation) owners() (owners []*simDevice, by *simDevice) {
	for _, d := range w.devices {
		if d.space == nil {
			continue
		}
		p, _, err := d.space.self(w.ctx)
		w.must("self", err)
		if st := d.space.base.Status(); p == nil || st.Locked || len(st.Missing) > 0 {
			continue
		}
		if by = d; p.role == Owner {
			owners = append(owners, d)
		}
	}
	return owners, by
}

// soleIndexer returns the device that alone confirms, if all that can say so agree.
func (w *simulation) soleIndexer() (x *simDevice) {
	for _, d := range w.devices {
		if d.space == nil {
			continue
		}
		st := d.space.base.Status()
		if len(st.Indexers) != 1 {
			return nil
		}
		i := slices.IndexFunc(w.devices, func(q *simDevice) bool { return q.space != nil && q.space.Log() == st.Indexers[0].Key })
		if i < 0 || x != nil && x != w.devices[i] {
			return nil
		}
		x = w.devices[i]
	}
	return x
}

// ownersAt returns the people who are owners, as a device knows.
func (w *simulation) ownersAt(d *simDevice) (list []int) {
	members, err := d.space.Members(w.ctx)
	w.must("members", err)
	for _, m := range members {
		if i := slices.IndexFunc(w.people, func(h *human) bool { return h.key() == m.Person }); i >= 0 && !m.Removed && m.Role == Owner {
			list = append(list, i)
		}
	}
	return list
}

// newDevice makes a device of a person, with a copy of the space as another one has it.
func (w *simulation) newDevice(who int, by *simDevice) *simDevice {
	d := &simDevice{w: w, n: len(w.people) + len(w.logs) + 10, who: who, badge: w.badge(w.people[who]), mem: vfs.NewCrashableMem(), held: make(simHeld)}
	w.devices = append(w.devices, d)
	d.open()
	w.note("%s has a new device %d", w.people[who].name, d.n)
	d.enter(Record{Name: "plans", Key: w.key, Encryption: w.enc, namespace: d.namespace(), epochs: by.space.ring.all()})
	return d
}

// recover enters a recovery: its author's phrase says that a device is lost.
func (l *ledger) recover(log hypercrypto.Key, act *recoverAction) error {
	who := act.claim.proof.Identity
	if act.claim.log != log || act.proof.Identity != who || l.roles[who] != Owner {
		return fmt.Errorf("somebody recovers the space who is no owner")
	}
	if d, ok := l.devices[log]; !ok || d.gone {
		l.enter(act.claim, Owner)
	}
	for _, x := range act.lost {
		d := l.devices[x]
		d.gone = true
		l.devices[x] = d
	}
	return nil
}
