package space

import (
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// shareAction hands all keys of epochs to a device that came without them: uint epoch,
// 32 log, buffer box, in which the device finds uint count, { 32 key }. It is written in
// epoch 0, so that the device can read it.
type shareAction struct {
	epoch uint64 // number of the newest epoch in it
	log   hypercrypto.Key
	box   []byte
}

func (*shareAction) kind() uint64 { return kindShare }
func (a *shareAction) appendTo(b []byte) []byte {
	return compact.AppendBuffer(append(compact.AppendUint(b, a.epoch), a.log[:]...), a.box)
}
func (a *shareAction) readFrom(r *compact.Reader) error {
	a.epoch, a.log = r.Uint(), r.Fixed32()
	a.box = append([]byte(nil), r.Buffer()...)
	return nil
}

// openRotation returns the key in a rotation that is sealed for this device, or for the
// phrase that was given to it.
func (a *app) openRotation(act *rotateAction) (key hypercrypto.EncryptionKey, ok bool) {
	if b := boxFor(act.sealed, a.log, a.box); b != nil {
		copy(key[:], b)
		return key, epochHash(key) == act.key
	}
	if p := a.phrase.Load(); p != nil {
		if b := boxFor(act.owners, p.person, p.box); b != nil {
			copy(key[:], b)
			return key, epochHash(key) == act.key
		}
	}
	return key, false
}

// boxFor opens what a list has for somebody; nil if that is nothing.
func boxFor[K ~[32]byte](list []sealedKey[K], who K, pair *hypercrypto.BoxKeyPair) []byte {
	for _, s := range list {
		if s.of != who {
			continue
		}
		if b, err := pair.Open(s.box); err == nil && len(b) == len(hypercrypto.EncryptionKey{}) {
			return b
		}
	}
	return nil
}

// peek looks for keys in an operation that cannot be applied yet. What is found does not
// count before the state says so.
func (a *app) peek(_ hypercrypto.Key, value []byte) {
	e, err := decodeEnvelope(value, a.level)
	if err != nil || e.typ != coreType {
		return
	}
	act, err := decodeAction(e.body)
	if err != nil {
		return
	}
	switch act := act.(type) {
	case *shareAction:
		if act.log != a.log {
			return
		}
		b, err := a.box.Open(act.box)
		if err != nil {
			return
		}
		r := compact.NewReader(b)
		if keys := readKeyList(&r); r.Err() == nil {
			a.ring.offer(keys...)
		}
	case *rotateAction:
		if k, ok := a.openRotation(act); ok {
			a.ring.offer(k)
		}
	}
}

// newRotation makes a rotation for devices, and for the phrases of owners.
func newRotation(epoch uint64, devices []named[hypercrypto.Key, device], owners []hypercrypto.PublicKey) *rotateAction {
	key := newEpochKey()
	act := &rotateAction{epoch: epoch, key: epochHash(key)}
	for _, d := range devices {
		act.sealed = append(act.sealed, sealedKey[hypercrypto.Key]{d.key, d.rec.box.Seal(key[:])})
	}
	for _, o := range owners {
		if box, err := o.Box(); err == nil {
			act.owners = append(act.owners, sealedKey[hypercrypto.PublicKey]{o, box.Seal(key[:])})
		}
	}
	return act
}

// phrase is what opens keys that are sealed for an owner.
type phrase struct {
	person hypercrypto.PublicKey
	box    *hypercrypto.BoxKeyPair
}
