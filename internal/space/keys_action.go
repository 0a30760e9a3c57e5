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

// openRotation returns the key in a rotation that is sealed for a log.
func (a *app) openRotation(act *rotateAction) (key hypercrypto.EncryptionKey, ok bool) {
	for _, s := range act.sealed {
		if s.log != a.log {
			continue
		}
		b, err := a.box.Open(s.box)
		if err != nil || len(b) != len(key) {
			return key, false
		}
		copy(key[:], b)
		return key, epochHash(key) == act.key
	}
	return key, false
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

// newRotation makes a rotation for devices.
func newRotation(epoch uint64, devices []named[hypercrypto.Key, device]) *rotateAction {
	key := newEpochKey()
	act := &rotateAction{epoch: epoch, key: epochHash(key)}
	for _, d := range devices {
		act.sealed = append(act.sealed, sealedKey{log: d.key, box: d.rec.box.Seal(key[:])})
	}
	return act
}
