package space

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
)

var errRecord = errors.New("space: damaged record")

func finish[T any](r *compact.Reader, what string, v *T) (*T, error) {
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w of %s: %w", errRecord, what, err)
	}
	return v, nil
}

// person is the record of a person or a mirror: uint role, string name, uint epoch,
// uint since, uint until, uint flags (1: was an owner).
type person struct {
	role  Role
	name  string
	epoch uint64 // newest of the proofs
	since uint64 // position at which the person came
	until uint64 // position at which the person went, 0 while there
	owned bool   // was an owner, and is none any more
}

// wasOwner tells whether the person is an owner or was one.
func (p *person) wasOwner() bool { return p.role == Owner || p.owned }

func (p *person) appendTo(b []byte) []byte {
	b = compact.AppendString(compact.AppendUint(b, uint64(p.role)), p.name)
	b = compact.AppendUint(compact.AppendUint(b, p.epoch), p.since)
	return compact.AppendUint(compact.AppendUint(b, p.until), flag(p.owned, 1))
}

func decodePerson(b []byte) (*person, error) {
	r := compact.NewReader(b)
	p := &person{role: Role(r.Uint()), name: r.String(), epoch: r.Uint(), since: r.Uint(), until: r.Uint()}
	p.owned = r.Uint()&1 != 0
	return finish(&r, "a person", p)
}

// device is the record of a device: 32 person, 32 device, 32 blob log, 32 box key,
// string name, uint flags (1: always on, 2: indexer, 4: it has a node), uint level, uint
// since, uint until, buffer proof, and if it has, 32 key of its node.
type device struct {
	person, key hypercrypto.PublicKey
	blobs       hypercrypto.Key
	box         hypercrypto.BoxPublicKey
	name        string
	alwaysOn    bool
	indexer     bool
	level       uint64 // of its program, 0 while unknown
	since       uint64 // position at which it came
	until       uint64 // position at which it went, 0 while there
	proof       []byte
	node        hypercrypto.PublicKey // zero while unknown
}

func (d *device) appendTo(b []byte) []byte {
	b = append(append(append(append(b, d.person[:]...), d.key[:]...), d.blobs[:]...), d.box[:]...)
	b = compact.AppendUint(compact.AppendString(b, d.name), flag(d.alwaysOn, 1)|flag(d.indexer, 2)|flag(d.node != noNode, 4))
	b = compact.AppendUint(compact.AppendUint(compact.AppendUint(b, d.level), d.since), d.until)
	return appendNode(compact.AppendBuffer(b, d.proof), d.node)
}

// deviceKeys is the record of the keys that a device has: uint epoch up to which it was
// given all, and if it lacks others, uint count, { uint number of an epoch }.
type deviceKeys struct {
	epoch uint64
	lacks []uint32
}

func (k deviceKeys) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, k.epoch)
	if len(k.lacks) > 0 {
		b = appendNumbers(b, k.lacks)
	}
	return b
}

func decodeDeviceKeys(b []byte) (k deviceKeys, err error) {
	r := compact.NewReader(b)
	k.epoch = r.Uint()
	if r.Len() > 0 {
		k.lacks = readNumbers(&r)
	}
	_, err = finish(&r, "keys of a device", &k)
	return k, err
}

func decodeDevice(b []byte) (*device, error) {
	r := compact.NewReader(b)
	d := &device{person: r.Fixed32(), key: r.Fixed32(), blobs: r.Fixed32(), box: r.Fixed32(), name: r.String()}
	flags := r.Uint()
	d.alwaysOn, d.indexer = flags&1 != 0, flags&2 != 0
	d.level, d.since, d.until = r.Uint(), r.Uint(), r.Uint()
	d.proof = r.Buffer()
	if flags&4 != 0 {
		d.node = r.Fixed32()
	}
	return finish(&r, "a device", d)
}

// invite is the record of an invite: what its action has, then uint used, uint flags
// (1: revoked), 32 person who made it, uint since, uint64 time.
type invite struct {
	inviteAction
	used    uint64
	revoked bool
	by      hypercrypto.PublicKey
	since   uint64
	made    clock.Time
}

func (i *invite) appendTo(b []byte) []byte {
	b = i.inviteAction.appendTo(b)
	b = compact.AppendUint(compact.AppendUint(b, i.used), flag(i.revoked, 1))
	b = compact.AppendUint(append(b, i.by[:]...), i.since)
	return compact.AppendUint64(b, uint64(i.made))
}

func decodeInvite(b []byte) (*invite, error) {
	r := compact.NewReader(b)
	i := &invite{}
	if err := i.readFrom(&r); err != nil {
		return nil, err
	}
	i.used = r.Uint()
	i.revoked = r.Uint()&1 != 0
	i.by, i.since, i.made = r.Fixed32(), r.Uint(), clock.Time(r.Uint64())
	return finish(&r, "an invite", i)
}

// entry is a record of the journal, one for each append: 32 log, uint length of the
// log with the last operation, uint count, uint64 time of that operation, uint64
// effective time, uint flags (1: skipped), string type.
type entry struct {
	log       hypercrypto.Key
	length    uint64
	count     uint64
	time      clock.Time
	effective clock.Time // the latest time up to here
	skipped   bool
	typ       string
}

func (e *entry) appendTo(b []byte) []byte {
	b = compact.AppendUint(compact.AppendUint(append(b, e.log[:]...), e.length), e.count)
	b = compact.AppendUint64(compact.AppendUint64(b, uint64(e.time)), uint64(e.effective))
	return compact.AppendString(compact.AppendUint(b, flag(e.skipped, 1)), e.typ)
}

func decodeEntry(b []byte) (*entry, error) {
	r := compact.NewReader(b)
	e := &entry{log: r.Fixed32(), length: r.Uint(), count: r.Uint(), time: clock.Time(r.Uint64()), effective: clock.Time(r.Uint64())}
	e.skipped = r.Uint()&1 != 0
	e.typ = r.String()
	return finish(&r, "the journal", e)
}
