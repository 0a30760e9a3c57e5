package space

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
)

// action is an operation of the space itself: a number and its fields.
type action interface {
	kind() uint64
	appendTo(b []byte) []byte
	readFrom(r *compact.Reader) error
}

// The numbers of actions.
const (
	kindCreate = iota + 1
	kindAdmit
	kindRemove
	kindRemoveDevice
	kindLeave
	kindRole
	kindRename
	kindDevice
	kindInvite
	kindRevoke
	kindSet
	kindIndexer
	kindRotate
	kindRecover
	kindMirror
	kindLink
	kindShare
	kindCall
	kindLack
)

var errAction = errors.New("space: not an action")

func newAction(kind uint64) action {
	switch kind {
	case kindCreate:
		return &createAction{}
	case kindAdmit:
		return &admitAction{}
	case kindRemove:
		return &removeAction{}
	case kindRemoveDevice:
		return &removeDeviceAction{}
	case kindLeave:
		return &leaveAction{}
	case kindRole:
		return &roleAction{}
	case kindRename:
		return &renameAction{}
	case kindDevice:
		return &deviceAction{}
	case kindInvite:
		return &inviteAction{}
	case kindRevoke:
		return &revokeAction{}
	case kindSet:
		return &setAction{}
	case kindIndexer:
		return &indexerAction{}
	case kindRotate:
		return &rotateAction{}
	case kindRecover:
		return &recoverAction{}
	case kindMirror:
		return &mirrorAction{}
	case kindLink:
		return &linkAction{}
	case kindShare:
		return &shareAction{}
	case kindCall:
		return &callAction{}
	case kindLack:
		return &lackAction{}
	}
	return nil
}

func encodeAction(a action) []byte { return a.appendTo(compact.AppendUint(nil, a.kind())) }

func decodeAction(b []byte) (action, error) {
	r := compact.NewReader(b)
	kind := r.Uint()
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: %w", errAction, r.Err())
	}
	a := newAction(kind)
	if a == nil {
		return nil, fmt.Errorf("%w: number %d", errAction, kind)
	}
	if err := a.readFrom(&r); err != nil {
		return nil, fmt.Errorf("action %d: %w", kind, err)
	}
	if r.Err() != nil {
		return nil, fmt.Errorf("%w: %w", errAction, r.Err())
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errAction, r.Len())
	}
	return a, nil
}

// createAction is the first operation of a space: uint flags (1: home), string name,
// claim.
type createAction struct {
	home  bool
	name  string
	claim *claim
}

func (*createAction) kind() uint64 { return kindCreate }
func (a *createAction) appendTo(b []byte) []byte {
	return a.claim.appendTo(compact.AppendString(compact.AppendUint(b, flag(a.home, 1)), a.name))
}
func (a *createAction) readFrom(r *compact.Reader) (err error) {
	a.home, a.name = r.Uint()&1 != 0, r.String()
	a.claim, err = readClaim(r)
	return err
}

// admitAction lets a device in: by an invite, uint 1, 32 invite ID, 32 session,
// 64 signature, buffer claim; or one of a member, uint 0, buffer claim.
type admitAction struct {
	invite  hypercrypto.Hash
	receipt *blindpairing.Receipt // proves that the device has the invite; its data is the claim
	claim   *claim
}

func (*admitAction) kind() uint64 { return kindAdmit }
func (a *admitAction) appendTo(b []byte) []byte {
	if a.receipt == nil {
		return compact.AppendBuffer(compact.AppendUint(b, 0), a.claim.appendTo(nil))
	}
	b = append(compact.AppendUint(b, 1), a.invite[:]...)
	return a.receipt.AppendTo(b)
}
func (a *admitAction) readFrom(r *compact.Reader) (err error) {
	var data []byte
	switch r.Uint() {
	case 0:
		data = r.Buffer()
	case 1:
		a.invite = r.Fixed32()
		a.receipt = &blindpairing.Receipt{Session: r.Fixed32()}
		copy(a.receipt.Signature[:], r.Fixed(64))
		data = r.Buffer()
		a.receipt.UserData = data
	default:
		return errAction
	}
	if r.Err() == nil {
		a.claim, err = decodeClaim(data)
	}
	return err
}

// removeAction ends the membership of a person or a mirror: 32 person.
type removeAction struct{ person hypercrypto.PublicKey }

func (*removeAction) kind() uint64               { return kindRemove }
func (a *removeAction) appendTo(b []byte) []byte { return append(b, a.person[:]...) }
func (a *removeAction) readFrom(r *compact.Reader) error {
	a.person = r.Fixed32()
	return nil
}

// removeDeviceAction ends that of a device: 32 log.
type removeDeviceAction struct{ log hypercrypto.Key }

func (*removeDeviceAction) kind() uint64               { return kindRemoveDevice }
func (a *removeDeviceAction) appendTo(b []byte) []byte { return append(b, a.log[:]...) }
func (a *removeDeviceAction) readFrom(r *compact.Reader) error {
	a.log = r.Fixed32()
	return nil
}

// leaveAction ends that of the author.
type leaveAction struct{}

func (*leaveAction) kind() uint64                   { return kindLeave }
func (*leaveAction) appendTo(b []byte) []byte       { return b }
func (*leaveAction) readFrom(*compact.Reader) error { return nil }

// roleAction changes what a person may: 32 person, uint role.
type roleAction struct {
	person hypercrypto.PublicKey
	role   Role
}

func (*roleAction) kind() uint64 { return kindRole }
func (a *roleAction) appendTo(b []byte) []byte {
	return compact.AppendUint(append(b, a.person[:]...), uint64(a.role))
}
func (a *roleAction) readFrom(r *compact.Reader) error {
	a.person, a.role = r.Fixed32(), readRole(r)
	return nil
}

func readRole(r *compact.Reader) Role {
	n := r.Uint()
	if r.Err() == nil && (n < uint64(Mirror) || n > uint64(Owner)) {
		r.Fail(fmt.Errorf("role %d", n))
		return 0
	}
	return Role(n)
}

// renameAction gives the author's person a name: string name.
type renameAction struct{ name string }

func (*renameAction) kind() uint64               { return kindRename }
func (a *renameAction) appendTo(b []byte) []byte { return compact.AppendString(b, a.name) }
func (a *renameAction) readFrom(r *compact.Reader) error {
	a.name = r.String()
	return nil
}

// deviceAction is what the author's device says of itself: string name, uint flags
// (1: always on, 2: it has a node), uint level of its program, and if it has, 32 key of its
// node.
type deviceAction struct {
	name     string
	alwaysOn bool
	level    uint64
	node     hypercrypto.PublicKey // zero if it has none
}

func (*deviceAction) kind() uint64 { return kindDevice }
func (a *deviceAction) appendTo(b []byte) []byte {
	b = compact.AppendUint(compact.AppendString(b, a.name), flag(a.alwaysOn, 1)|flag(a.node != noNode, 2))
	return appendNode(compact.AppendUint(b, a.level), a.node)
}
func (a *deviceAction) readFrom(r *compact.Reader) error {
	a.name = r.String()
	flags := r.Uint()
	a.alwaysOn, a.level = flags&1 != 0, r.Uint()
	if flags&2 != 0 {
		a.node = r.Fixed32()
	}
	return nil
}

// callAction gives a device of the author's person another name: 32 log, string name.
type callAction struct {
	log  hypercrypto.Key
	name string
}

func (*callAction) kind() uint64 { return kindCall }
func (a *callAction) appendTo(b []byte) []byte {
	return compact.AppendString(append(b, a.log[:]...), a.name)
}
func (a *callAction) readFrom(r *compact.Reader) error {
	a.log, a.name = r.Fixed32(), r.String()
	return nil
}

// noNode stands for none.
var noNode hypercrypto.PublicKey

// appendNode appends the key of a node, nothing if there is none.
func appendNode(b []byte, node hypercrypto.PublicKey) []byte {
	if node == noNode {
		return b
	}
	return append(b, node[:]...)
}

// inviteAction makes an invite: 32 public key, uint role, uint expires in seconds since
// 1970 (0: never), uint uses (0: any number), string label, buffer data, 64 signature
// of the invite's key over it.
type inviteAction struct {
	public    hypercrypto.PublicKey
	role      Role
	expires   uint64
	uses      uint64
	label     string
	data      []byte
	signature [64]byte
}

func (*inviteAction) kind() uint64 { return kindInvite }
func (a *inviteAction) appendTo(b []byte) []byte {
	b = compact.AppendUint(append(b, a.public[:]...), uint64(a.role))
	b = compact.AppendUint(compact.AppendUint(b, a.expires), a.uses)
	b = compact.AppendBuffer(compact.AppendString(b, a.label), a.data)
	return append(b, a.signature[:]...)
}
func (a *inviteAction) readFrom(r *compact.Reader) error {
	a.public, a.role = r.Fixed32(), readRole(r)
	a.expires, a.uses, a.label = r.Uint(), r.Uint(), r.String()
	a.data = append([]byte(nil), r.Buffer()...)
	copy(a.signature[:], r.Fixed(64))
	if len(a.data) > blindpairing.MaxData {
		return fmt.Errorf("%w: %d bytes of data", errAction, len(a.data))
	}
	return nil
}

// revokeAction ends an invite: 32 invite ID.
type revokeAction struct{ invite hypercrypto.Hash }

func (*revokeAction) kind() uint64               { return kindRevoke }
func (a *revokeAction) appendTo(b []byte) []byte { return append(b, a.invite[:]...) }
func (a *revokeAction) readFrom(r *compact.Reader) error {
	a.invite = r.Fixed32()
	return nil
}

// setAction changes a setting: string name, buffer value.
type setAction struct {
	name  string
	value []byte
}

func (*setAction) kind() uint64 { return kindSet }
func (a *setAction) appendTo(b []byte) []byte {
	return compact.AppendBuffer(compact.AppendString(b, a.name), a.value)
}
func (a *setAction) readFrom(r *compact.Reader) error {
	a.name = r.String()
	a.value = append([]byte{}, r.Buffer()...)
	return nil
}

// indexerAction makes a device one that confirms, or not any more: uint turn, uint
// flags (1: add), 32 log. The turn is that of the state which the author saw, so that
// of two changes made at once one has an effect.
type indexerAction struct {
	turn uint64
	add  bool
	log  hypercrypto.Key
}

func (*indexerAction) kind() uint64 { return kindIndexer }
func (a *indexerAction) appendTo(b []byte) []byte {
	return append(compact.AppendUint(compact.AppendUint(b, a.turn), flag(a.add, 1)), a.log[:]...)
}
func (a *indexerAction) readFrom(r *compact.Reader) error {
	a.turn = r.Uint()
	a.add = r.Uint()&1 != 0
	a.log = r.Fixed32()
	return nil
}

// rotateAction begins an epoch of keys: uint epoch, 32 hash of its key, uint count,
// { 32 log, buffer key sealed for the device }, uint count, { 32 person, buffer key
// sealed for the phrase of an owner }.
type rotateAction struct {
	epoch  uint64
	key    hypercrypto.Hash
	sealed []sealedKey[hypercrypto.Key]
	owners []sealedKey[hypercrypto.PublicKey]
}

type sealedKey[K ~[32]byte] struct {
	of  K
	box []byte
}

func appendSealed[K ~[32]byte](b []byte, list []sealedKey[K]) []byte {
	b = compact.AppendUint(b, uint64(len(list)))
	for _, s := range list {
		b = compact.AppendBuffer(append(b, s.of[:]...), s.box)
	}
	return b
}

func readSealed[K ~[32]byte](r *compact.Reader) (list []sealedKey[K]) {
	for range r.Count(33) {
		s := sealedKey[K]{of: K(r.Fixed32()), box: append([]byte(nil), r.Buffer()...)}
		if r.Err() != nil {
			break
		}
		list = append(list, s)
	}
	return list
}

func (*rotateAction) kind() uint64 { return kindRotate }
func (a *rotateAction) appendTo(b []byte) []byte {
	b = append(compact.AppendUint(b, a.epoch), a.key[:]...)
	return appendSealed(appendSealed(b, a.sealed), a.owners)
}
func (a *rotateAction) readFrom(r *compact.Reader) error {
	a.epoch, a.key = r.Uint(), r.Fixed32()
	a.sealed, a.owners = readSealed[hypercrypto.Key](r), readSealed[hypercrypto.PublicKey](r)
	return nil
}

// recoverAction makes the author's device the only indexer, because too many of the
// others are gone for good: claim of the device, 32 system core, uint its length, uint
// count, { 32 lost log }, buffer proof, in which the person's own key, that of the phrase,
// signs all that is before.
type recoverAction struct {
	claim  *claim
	system autobase.Ref
	lost   []hypercrypto.Key
	proof  *identitykey.Proof
}

func (*recoverAction) kind() uint64 { return kindRecover }

func (a *recoverAction) appendFields(b []byte) []byte {
	b = a.claim.appendTo(b)
	b = compact.AppendUint(append(b, a.system.Key[:]...), a.system.Length)
	return appendKeys(b, a.lost)
}

func (a *recoverAction) appendTo(b []byte) []byte {
	return compact.AppendBuffer(a.appendFields(b), a.proof.AppendTo(nil))
}
func (a *recoverAction) readFrom(r *compact.Reader) (err error) {
	if a.claim, err = readClaim(r); err != nil {
		return err
	}
	a.system = autobase.Ref{Key: r.Fixed32(), Length: r.Uint()}
	a.lost = readKeys(r)
	proof := r.Buffer()
	if r.Err() == nil {
		a.proof, err = identitykey.DecodeProof(proof)
	}
	return err
}

func appendKeys(b []byte, keys []hypercrypto.Key) []byte {
	b = compact.AppendUint(b, uint64(len(keys)))
	for _, k := range keys {
		b = append(b, k[:]...)
	}
	return b
}

func readKeys(r *compact.Reader) []hypercrypto.Key {
	var keys []hypercrypto.Key
	for range r.Count(32) {
		keys = append(keys, r.Fixed32())
	}
	return keys
}

// mirrorAction adds a mirror: 32 key of the node, string name.
type mirrorAction struct {
	node hypercrypto.PublicKey
	name string
}

func (*mirrorAction) kind() uint64 { return kindMirror }
func (a *mirrorAction) appendTo(b []byte) []byte {
	return compact.AppendString(append(b, a.node[:]...), a.name)
}
func (a *mirrorAction) readFrom(r *compact.Reader) error {
	a.node, a.name = r.Fixed32(), r.String()
	return nil
}

// linkAction remembers another space of the same person, or forgets it if the box is
// empty: 32 key of that space, buffer box.
type linkAction struct {
	space hypercrypto.Key
	box   []byte
}

func (*linkAction) kind() uint64 { return kindLink }
func (a *linkAction) appendTo(b []byte) []byte {
	return compact.AppendBuffer(append(b, a.space[:]...), a.box)
}
func (a *linkAction) readFrom(r *compact.Reader) error {
	a.space = r.Fixed32()
	a.box = append([]byte(nil), r.Buffer()...)
	return nil
}
