package space

import (
	"context"
	"fmt"
	"math"

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

// lackAction says that this device has something that it cannot read: uint count,
// { uint number of an epoch }.
type lackAction struct{ epochs []uint32 }

// maxLacks is how many epochs a device asks for at once.
const maxLacks = 16

func (*lackAction) kind() uint64               { return kindLack }
func (a *lackAction) appendTo(b []byte) []byte { return appendNumbers(b, a.epochs) }
func (a *lackAction) readFrom(r *compact.Reader) error {
	a.epochs = readNumbers(r)
	return nil
}

func appendNumbers(b []byte, epochs []uint32) []byte {
	b = compact.AppendUint(b, uint64(len(epochs)))
	for _, n := range epochs {
		b = compact.AppendUint(b, uint64(n))
	}
	return b
}

func readNumbers(r *compact.Reader) (epochs []uint32) {
	for range r.Count(1) {
		n := r.Uint()
		if n > math.MaxUint32 {
			r.Fail(fmt.Errorf("epoch %d", n))
			return nil
		}
		epochs = append(epochs, uint32(n))
	}
	return epochs
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
	switch act := a.actionIn(value).(type) {
	case *shareAction:
		a.take(act)
	case *rotateAction:
		if k, ok := a.openRotation(act); ok {
			a.ring.offer(k)
		}
	}
}

// take takes keys that are for this device.
func (a *app) take(act *shareAction) {
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
}

// actionIn returns the action that a value is, nil if it is none.
func (a *app) actionIn(value []byte) action {
	e, err := decodeEnvelope(value, a.level)
	if err != nil || e.typ != coreType {
		return nil
	}
	act, err := decodeAction(e.body)
	if err != nil {
		return nil
	}
	return act
}

// ignored takes the key of a rotation by an owner who was removed meanwhile: those who did
// not know that wrote in this epoch all the same.
func (a *app) ignored(log hypercrypto.Key, value []byte) {
	act, ok := a.actionIn(value).(*rotateAction)
	if !ok {
		return
	}
	ctx, r := context.Background(), records{a.tree}
	dev, err := r.device(ctx, log)
	if err != nil || dev == nil {
		return
	}
	if p, err := r.person(ctx, dev.person); err == nil && p != nil && p.wasOwner() {
		a.hear(act)
	}
}

// hear makes the key of a rotation one of the space, if this device can open it.
func (a *app) hear(act *rotateAction) {
	if k, ok := a.openRotation(act); ok {
		a.ring.offer(k)
	}
	a.ring.want(act.key)
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
