package space

import (
	"context"
	"errors"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// Limits of the state.
const (
	maxUses    = 1 << 16
	maxSetting = 1 << 10
	maxBox     = 4 << 10
)

// execution is one action that is being applied.
type execution struct {
	a    *app
	d    *draft
	h    *autobase.Host
	n    *autobase.Node
	w    *author
	time clock.Time

	joined   bool            // the author became a writer
	confirms hypercrypto.Key // log of the device that is to confirm after a recovery
}

func (x *execution) do(ctx context.Context, act action) error {
	if c, ok := act.(*createAction); ok {
		return x.create(ctx, c)
	}
	if x.d.position == 1 && x.d.entry.count == 0 {
		return refuse("a space begins with another operation")
	}
	if err := x.member(ctx, act); err != nil {
		return err
	}
	if x.w.outside && !x.joined {
		return x.h.AckWriter(x.n.From)
	}
	return nil
}

// member does what is done in a space that exists.
func (x *execution) member(ctx context.Context, act action) error {
	switch act := act.(type) {
	case *admitAction:
		return x.admit(ctx, act)
	case *recoverAction:
		return x.recover(ctx, act)
	case *leaveAction:
		return x.leave(ctx)
	case *renameAction:
		return x.rename(ctx, act)
	case *deviceAction:
		return x.describe(ctx, act)
	case *callAction:
		return x.call(ctx, act)
	case *removeDeviceAction:
		return x.removeDevice(ctx, act)
	case *shareAction:
		return x.share(ctx, act)
	case *lackAction:
		return x.lack(ctx, act)
	}
	// All else is for writers.
	if x.w.outside {
		return refuse("log %s is no writer's", x.n.From)
	}
	if act, ok := act.(*rotateAction); ok {
		x.hear(act)
	}
	if err := x.w.may(Owner); err != nil {
		return err
	}
	switch act := act.(type) {
	case *removeAction:
		return x.remove(ctx, act.person)
	case *roleAction:
		return x.changeRole(ctx, act)
	case *mirrorAction:
		return x.addMirror(ctx, act)
	case *inviteAction:
		return x.invite(ctx, act)
	case *revokeAction:
		return x.revoke(ctx, act)
	case *setAction:
		return x.set(ctx, act)
	case *indexerAction:
		return x.changeIndexers(ctx, act)
	case *rotateAction:
		return x.rotate(ctx, act)
	case *linkAction:
		return x.link(ctx, act)
	}
	return errAction
}

// create makes the author of the first log the owner of a new space.
func (x *execution) create(ctx context.Context, c *createAction) error {
	d := x.d
	switch {
	case d.position != 1 || d.entry.count != 0:
		return refuse("the space exists already")
	case x.w.outside || x.n.From != x.a.key || c.claim.log != x.a.key:
		return refuse("log %s is not the first of the space", x.n.From)
	case !validName(c.name) || c.claim.personName == "":
		return refuse("a name is missing")
	}
	if err := c.claim.verify(x.a.discovery); err != nil {
		return err
	}
	if err := d.putSetting(ctx, settingName, []byte(c.name)); err != nil {
		return err
	}
	if err := d.putNumber(ctx, settingLevel, 1); err != nil {
		return err
	}
	if c.home {
		if err := d.putNumber(ctx, settingHome, 1); err != nil {
			return err
		}
	}
	p := &person{role: Owner, name: c.claim.personName, epoch: c.claim.proof.Epoch, since: d.position}
	if err := d.putPerson(ctx, c.claim.proof.Identity, p); err != nil {
		return err
	}
	dev := x.newDevice(c.claim)
	dev.indexer = true
	return d.putDevice(ctx, c.claim.log, dev)
}

func (x *execution) newDevice(c *claim) *device {
	return &device{
		person: c.proof.Identity, key: c.proof.Device(), blobs: c.blobs, box: c.box, name: c.deviceName,
		alwaysOn: c.alwaysOn, since: x.d.position, proof: c.proof.AppendTo(nil),
	}
}

func (x *execution) rename(ctx context.Context, act *renameAction) error {
	if err := x.w.may(Viewer); err != nil {
		return err
	}
	if !validName(act.name) {
		return refuse("%q is no name", act.name)
	}
	p := *x.w.person
	p.name = act.name
	return x.d.putPerson(ctx, x.w.device.person, &p)
}

func (x *execution) describe(ctx context.Context, act *deviceAction) error {
	if err := x.w.may(Viewer); err != nil {
		return err
	}
	if !validName(act.name) {
		return refuse("%q is no name", act.name)
	}
	dev := *x.w.device
	dev.name, dev.alwaysOn, dev.level, dev.node = dev.called(act.name), act.alwaysOn, act.level, act.node
	return x.d.putDevice(ctx, x.n.From, &dev)
}

// call gives a device another name. Everybody names their own devices only.
func (x *execution) call(ctx context.Context, act *callAction) error {
	if err := x.w.may(Viewer); err != nil {
		return err
	}
	dev, err := x.d.device(ctx, act.log)
	if err != nil {
		return err
	}
	if dev == nil || dev.until != 0 || dev.person != x.w.device.person {
		return refuse("log %s is of no device of the author's person", act.log)
	}
	if !validName(act.name) {
		return refuse("%q is no name", act.name)
	}
	dev.name = act.name
	return x.d.putDevice(ctx, act.log, dev)
}

func (x *execution) set(ctx context.Context, act *setAction) error {
	if !validSetting(act.name) || len(act.value) > maxSetting {
		return refuse("setting %q", act.name)
	}
	switch act.name {
	case settingName:
		if !validName(string(act.value)) {
			return refuse("%q is no name", act.value)
		}
	case settingLevel:
		return x.raise(ctx, act.value)
	}
	if len(act.value) == 0 {
		return x.d.batch.Del(ctx, keyOf(prefixSetting, []byte(act.name)), nil)
	}
	return x.d.putSetting(ctx, act.name, act.value)
}

// raise changes the level of the space. A program below it stops here: from here on
// there may be operations that it does not understand.
func (x *execution) raise(ctx context.Context, value []byte) error {
	before, err := x.d.number(ctx, settingLevel)
	if err != nil {
		return err
	}
	level, err := decodeNumber(value)
	if err != nil {
		return err
	}
	if level <= before {
		return refuse("the space has level %d already", before)
	}
	if level > x.a.level {
		return x.h.Interrupt(tooOld(level))
	}
	return x.d.putNumber(ctx, settingLevel, level)
}

// validSetting tells whether actions may change a setting.
func validSetting(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= MaxName
}

func (x *execution) changeIndexers(ctx context.Context, act *indexerAction) error {
	turn, err := x.d.number(ctx, settingTurn)
	if err != nil {
		return err
	}
	if act.turn != turn {
		return refuse("the indexers changed meanwhile")
	}
	dev, err := x.d.device(ctx, act.log)
	if err != nil {
		return err
	}
	if dev == nil || dev.until != 0 || dev.indexer == act.add {
		return refuse("device with log %s", act.log)
	}
	p, err := x.d.person(ctx, dev.person)
	if err != nil {
		return err
	}
	if p == nil || !p.role.writes() {
		return refuse("log %s is no writer's", act.log)
	}
	if err := x.h.AddWriter(act.log, act.add); err != nil {
		return err
	}
	dev.indexer = act.add
	if err := x.d.putDevice(ctx, act.log, dev); err != nil {
		return err
	}
	return x.d.putNumber(ctx, settingTurn, turn+1)
}

// link remembers another space in a home.
func (x *execution) link(ctx context.Context, act *linkAction) error {
	home, err := x.d.number(ctx, settingHome)
	if err != nil {
		return err
	}
	if home == 0 || len(act.box) > maxBox {
		return refuse("a link to space %s", act.space)
	}
	key := keyOf(prefixLink, act.space[:])
	if len(act.box) == 0 {
		return x.d.batch.Del(ctx, key, nil)
	}
	return x.d.put(ctx, key, act.box)
}

var (
	errLastOwner    = errors.New("a space needs an owner: make somebody else one first")
	errNotRemovable = errors.New("the device alone confirms the space: another one has to take that over first")
)

// addWriter makes a device a writer; a removed one is one again. Who alone confirms goes on to
// do so: after a recovery that is a device whose admission may not have been confirmed before,
// and is applied again.
func (x *execution) addWriter(log hypercrypto.Key) error {
	if err := x.h.AddWriter(log, log == x.confirms || !x.h.Removable(log)); err != nil {
		return err
	}
	x.joined = x.joined || log == x.n.From
	return nil
}

func (x *execution) removeWriter(log hypercrypto.Key) error {
	if !x.h.Removable(log) {
		return refuse("%w", errNotRemovable)
	}
	return x.h.RemoveWriter(log)
}
