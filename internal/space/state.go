package space

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// The first bytes of keys of the state.
const (
	prefixCollection = 'c' // type, 0, the collection's key
	prefixDevice     = 'd' // 32 log
	prefixEpoch      = 'e' // 8 epoch: hash of its key; 32 log: up to where it has keys
	prefixInvite     = 'i' // 32 invite ID
	prefixJournal    = 'j' // 8 position
	prefixDeviceKey  = 'k' // 32 device
	prefixPerson     = 'p' // 32 person
	prefixSetting    = 's' // name
	prefixLink       = 'x' // 32 space
)

// Names of settings that the space itself uses. Those with a dot are changed by
// actions of their own only.
const (
	settingName   = "name"
	settingLevel  = "level"
	settingHome   = ".home"
	settingTurn   = ".turn"
	settingEpoch  = ".epoch"
	settingRotate = ".rotate"
)

// bee is what a tree and a batch have in common.
type bee interface {
	Get(ctx context.Context, key []byte) (hyperbee.Entry, bool, error)
	Entries(ctx context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error]
	Peek(ctx context.Context, r hyperbee.Range) (hyperbee.Entry, bool, error)
}

// records reads the state.
type records struct{ bee bee }

func keyOf(prefix byte, parts ...[]byte) []byte {
	b := []byte{prefix}
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// all is the range of keys with a prefix.
func all(prefix byte) hyperbee.Range {
	return hyperbee.Range{GTE: []byte{prefix}, LT: []byte{prefix + 1}}
}

// get reads one record; nil if there is none.
func get[T any](ctx context.Context, s records, key []byte, decode func([]byte) (*T, error)) (*T, error) {
	e, ok, err := s.bee.Get(ctx, key)
	if err != nil || !ok {
		return nil, err
	}
	return decode(e.Value)
}

func (s records) person(ctx context.Context, k hypercrypto.PublicKey) (*person, error) {
	return get(ctx, s, keyOf(prefixPerson, k[:]), decodePerson)
}

func (s records) device(ctx context.Context, log hypercrypto.Key) (*device, error) {
	return get(ctx, s, keyOf(prefixDevice, log[:]), decodeDevice)
}

func (s records) invite(ctx context.Context, id hypercrypto.Hash) (*invite, error) {
	return get(ctx, s, keyOf(prefixInvite, id[:]), decodeInvite)
}

// logOf returns the log that a device has in the space.
func (s records) logOf(ctx context.Context, device hypercrypto.PublicKey) (log hypercrypto.Key, ok bool, err error) {
	e, ok, err := s.bee.Get(ctx, keyOf(prefixDeviceKey, device[:]))
	if err == nil && ok && copy(log[:], e.Value) != len(log) {
		err = fmt.Errorf("%w: device %s", errRecord, device)
	}
	return log, ok, err
}

// removed returns the position at which a device was removed, 0 if it was not.
func (s records) removed(ctx context.Context, device hypercrypto.PublicKey) (position uint64, err error) {
	log, ok, err := s.logOf(ctx, device)
	if err != nil || !ok {
		return 0, err
	}
	d, err := s.device(ctx, log)
	if err != nil || d == nil {
		return 0, err
	}
	return d.until, nil
}

func (s records) setting(ctx context.Context, name string) (value []byte, ok bool, err error) {
	e, ok, err := s.bee.Get(ctx, keyOf(prefixSetting, []byte(name)))
	return e.Value, ok, err
}

// number reads a setting that is a number; 0 if it is not set.
func (s records) number(ctx context.Context, name string) (uint64, error) {
	v, ok, err := s.setting(ctx, name)
	if err != nil || !ok {
		return 0, err
	}
	return decodeNumber(v)
}

// named is a record with the key it has.
type named[K ~[32]byte, T any] struct {
	key K
	rec *T
}

func collect[K ~[32]byte, T any](ctx context.Context, s records, prefix byte, decode func([]byte) (*T, error)) ([]named[K, T], error) {
	var out []named[K, T]
	for e, err := range s.bee.Entries(ctx, all(prefix)) {
		if err != nil {
			return nil, err
		}
		if len(e.Key) != 33 {
			return nil, fmt.Errorf("%w: key %x", errRecord, e.Key)
		}
		v, err := decode(e.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, named[K, T]{K(e.Key[1:]), v})
	}
	return out, nil
}

func (s records) people(ctx context.Context) ([]named[hypercrypto.PublicKey, person], error) {
	return collect[hypercrypto.PublicKey](ctx, s, prefixPerson, decodePerson)
}

func (s records) devices(ctx context.Context) ([]named[hypercrypto.Key, device], error) {
	return collect[hypercrypto.Key](ctx, s, prefixDevice, decodeDevice)
}

func (s records) invites(ctx context.Context) ([]named[hypercrypto.Hash, invite], error) {
	return collect[hypercrypto.Hash](ctx, s, prefixInvite, decodeInvite)
}

// last returns the newest entry of the journal and its position; position 0 and an
// empty entry if there is none.
func (s records) last(ctx context.Context) (position uint64, e *entry, version uint64, err error) {
	r := all(prefixJournal)
	r.Reverse = true
	x, ok, err := s.bee.Peek(ctx, r)
	if err != nil || !ok {
		return 0, &entry{}, 0, err
	}
	if len(x.Key) != 9 {
		return 0, nil, 0, fmt.Errorf("%w: key %x", errRecord, x.Key)
	}
	e, err = decodeEntry(x.Value)
	return binary.BigEndian.Uint64(x.Key[1:]), e, x.Seq + 1, err
}

func decodeNumber(b []byte) (uint64, error) {
	r := compact.NewReader(b)
	n := r.Uint()
	if r.Err() != nil || r.Len() > 0 {
		return 0, fmt.Errorf("%w: a number", errRecord)
	}
	return n, nil
}

// draft is the state within a call of Apply.
type draft struct {
	records
	batch *hyperbee.Batch

	position uint64 // of the append that is being applied
	entry    entry
}

func newDraft(batch *hyperbee.Batch) *draft {
	return &draft{records: records{batch}, batch: batch}
}

// put sets a key unless it has the value already.
func (d *draft) put(ctx context.Context, key, value []byte) error {
	return d.batch.Put(ctx, key, value, &hyperbee.PutOptions{CAS: differs})
}

func differs(prev, next hyperbee.Entry) bool { return string(prev.Value) != string(next.Value) }

func (d *draft) putPerson(ctx context.Context, k hypercrypto.PublicKey, p *person) error {
	return d.put(ctx, keyOf(prefixPerson, k[:]), p.appendTo(nil))
}

func (d *draft) putDevice(ctx context.Context, log hypercrypto.Key, x *device) error {
	if err := d.put(ctx, keyOf(prefixDevice, log[:]), x.appendTo(nil)); err != nil {
		return err
	}
	return d.put(ctx, keyOf(prefixDeviceKey, x.key[:]), log[:])
}

func (d *draft) putInvite(ctx context.Context, i *invite) error {
	id := blindpairing.InviteID(i.public)
	return d.put(ctx, keyOf(prefixInvite, id[:]), i.appendTo(nil))
}

func (d *draft) putSetting(ctx context.Context, name string, value []byte) error {
	return d.put(ctx, keyOf(prefixSetting, []byte(name)), value)
}

func (d *draft) putNumber(ctx context.Context, name string, n uint64) error {
	return d.putSetting(ctx, name, compact.AppendUint(nil, n))
}

// begin reads where the journal ends.
func (d *draft) begin(ctx context.Context) error {
	position, e, _, err := d.last(ctx)
	if err != nil {
		return err
	}
	d.position = position + 1
	d.entry.effective = e.effective
	return nil
}

// end writes the journal, last, and the whole batch.
func (d *draft) end(ctx context.Context) error {
	if err := d.batch.Put(ctx, keyOf(prefixJournal, number(d.position)), d.entry.appendTo(nil), nil); err != nil {
		return err
	}
	return d.batch.Flush(ctx)
}

// note enters an operation into the journal.
func (d *draft) note(log hypercrypto.Key, length uint64, t clock.Time) {
	e := &d.entry
	e.log, e.length, e.count = log, length, e.count+1
	if t != 0 {
		e.time, e.effective = t, max(e.effective, t)
	}
}
