package space

import (
	"context"
	"slices"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// rotate begins an epoch of keys, of which all devices that are there get the key.
func (x *execution) rotate(ctx context.Context, act *rotateAction) error {
	epoch, err := x.d.number(ctx, settingEpoch)
	if err != nil {
		return err
	}
	if act.epoch != epoch+1 || epochNumber(act.key) == 0 {
		return refuse("epoch %d follows epoch %d", act.epoch, epoch)
	}
	if err := x.covers(ctx, act); err != nil {
		return err
	}
	for _, s := range act.sealed {
		// Who lacks keys of epochs before still does.
		has, err := x.d.keysOf(ctx, s.of)
		if err == nil && has.epoch == epoch {
			has.epoch = act.epoch
			err = x.d.putKeysOf(ctx, s.of, has)
		}
		if err != nil {
			return err
		}
	}
	if err := x.d.put(ctx, keyOf(prefixEpoch, number(act.epoch)), act.key[:]); err != nil {
		return err
	}
	if err := x.d.putNumber(ctx, settingRotate, 0); err != nil {
		return err
	}
	if err := x.d.putNumber(ctx, settingEpoch, act.epoch); err != nil {
		return err
	}
	return x.h.SetKeyEpoch(epochNumber(act.key))
}

// hear takes the key of a rotation, also if that does not count: an author who did not
// know what comes before wrote in this epoch all the same. Only owners are believed, and
// who was one, as may be the case for those who did not know.
func (x *execution) hear(act *rotateAction) {
	if x.w.may(Editor) == nil && x.w.person.wasOwner() {
		x.a.hear(act)
	}
}

// covers refuses a rotation that is not for all devices that are there, for the phrases
// of all owners, and for no others.
func (x *execution) covers(ctx context.Context, act *rotateAction) error {
	devices, err := x.d.present(ctx)
	if err != nil {
		return err
	}
	var logs []hypercrypto.Key
	for _, d := range devices {
		logs = append(logs, d.key)
	}
	owners, err := x.d.owners(ctx)
	if err != nil {
		return err
	}
	owners = slices.DeleteFunc(owners, func(k hypercrypto.PublicKey) bool {
		_, err := k.Box()
		return err != nil
	})
	if err := sealedFor(act.sealed, logs); err != nil {
		return err
	}
	return sealedFor(act.owners, owners)
}

func sealedFor[K ~[32]byte](list []sealedKey[K], all []K) error {
	boxes := make(map[K]bool)
	for _, s := range list {
		if boxes[s.of] || len(s.box) == 0 || len(s.box) > maxBox {
			return refuse("a key for %s", hypercrypto.EncodeZ32(s.of[:]))
		}
		boxes[s.of] = true
	}
	for _, k := range all {
		if !boxes[k] {
			return refuse("there is no key for %s", hypercrypto.EncodeZ32(k[:]))
		}
	}
	if len(all) != len(boxes) {
		return refuse("a key for somebody who is not there")
	}
	return nil
}

// share notes that a device was given all keys.
func (x *execution) share(ctx context.Context, act *shareAction) error {
	if x.w.outside {
		return refuse("log %s is no writer's", x.n.From)
	}
	if err := x.w.may(Editor); err != nil {
		return err
	}
	epoch, err := x.d.number(ctx, settingEpoch)
	if err != nil {
		return err
	}
	dev, err := x.d.device(ctx, act.log)
	if err != nil {
		return err
	}
	if dev == nil || dev.until != 0 || act.epoch > epoch {
		return refuse("keys for log %s", act.log)
	}
	x.a.take(act)
	has, err := x.d.keysOf(ctx, act.log)
	if err != nil {
		return err
	}
	return x.d.putKeysOf(ctx, act.log, deviceKeys{epoch: max(has.epoch, act.epoch)})
}

// lack notes what the author's device cannot read.
func (x *execution) lack(ctx context.Context, act *lackAction) error {
	if err := x.w.may(Viewer); err != nil {
		return err
	}
	if len(act.epochs) == 0 || len(act.epochs) > maxLacks {
		return refuse("%d epochs are lacking", len(act.epochs))
	}
	has, err := x.d.keysOf(ctx, x.n.From)
	if err != nil {
		return err
	}
	has.lacks = act.epochs
	return x.d.putKeysOf(ctx, x.n.From, has)
}

// present returns the devices that are members.
func (s records) present(ctx context.Context) (list []named[hypercrypto.Key, device], err error) {
	devices, err := s.devices(ctx)
	for _, d := range devices {
		if d.rec.until == 0 {
			list = append(list, d)
		}
	}
	return list, err
}

// owners returns the people who own the space.
func (s records) owners(ctx context.Context) (list []hypercrypto.PublicKey, err error) {
	people, err := s.people(ctx)
	for _, p := range people {
		if p.rec.role == Owner && p.rec.until == 0 {
			list = append(list, p.key)
		}
	}
	return list, err
}

// keysOf returns which keys a device has, as far as it is known.
func (s records) keysOf(ctx context.Context, log hypercrypto.Key) (deviceKeys, error) {
	e, ok, err := s.bee.Get(ctx, keyOf(prefixEpoch, log[:]))
	if err != nil || !ok {
		return deviceKeys{}, err
	}
	return decodeDeviceKeys(e.Value)
}

func (d *draft) putKeysOf(ctx context.Context, log hypercrypto.Key, has deviceKeys) error {
	return d.put(ctx, keyOf(prefixEpoch, log[:]), has.appendTo(nil))
}
