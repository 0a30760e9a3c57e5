package filetree

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Version names what a path held: it follows from the operation that wrote it and the
// change's place in it. The zero Version means that nothing was there.
type Version [16]byte

// Kind is what an entry is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota + 1
	Dir
	Symlink
)

// Item is what an author puts at a path.
type Item struct {
	Kind Kind
	// Mode is the permission bits.
	Mode fs.FileMode
	// Modified is the modification time, to the nanosecond.
	Modified time.Time
	// Size is the content's length in bytes, Hash its hash as in package digest, Content
	// says where it is (an encoded content.Ref). Of files only.
	Size    uint64
	Hash    hypercrypto.Hash
	Content []byte
	// Target is where a symlink points.
	Target string
}

// Entry is an item in the tree.
type Entry struct {
	// Path is relative, with slashes, clean, in UTF-8: "a/b.txt".
	Path    string
	Version Version
	Item
	// Author is the device that wrote it, Written the time by that device's hybrid
	// logical clock.
	Author  hypercrypto.PublicKey
	Written time.Time
	// Parents are the versions that the author had seen at the path.
	Parents []Version
}

// Action is what a change does.
type Action uint8

// The actions.
const (
	// Put makes Path hold Item. Directories above it come into being.
	Put Action = iota + 1
	// Delete moves what is at Path to the trash.
	Delete
	// Move puts what is at From at Path, a directory with all that is below. Base is
	// what the author saw at From, and nothing may be at Path.
	Move
	// Settle is Put for content that follows from versions that are kept anyway: one
	// side of a conflict, or both merged. It takes effect only while Base is at Path
	// and all of Resolves are open conflict copies; else somebody settled it before.
	Settle
	// Purge drops what has been in the trash for longer than Retention, with its
	// history: only what is at Path or below, if Path is given.
	Purge
	// Prune drops versions that were replaced longer than Retention ago.
	Prune
	// TakeSnapshot gives the tree as it is at this place in the order a Name and keeps
	// its versions from Purge and Prune. A Name that is taken stays as it was.
	TakeSnapshot
	// DropSnapshot forgets the snapshot Name.
	DropSnapshot
)

// String returns the action's name.
func (a Action) String() string {
	names := [...]string{"none", "put", "delete", "move", "settle", "purge", "prune", "take snapshot", "drop snapshot"}
	if int(a) < len(names) {
		return names[a]
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Change is one step of an operation. All steps of one operation are applied
// together.
type Change struct {
	Action Action
	Path   string
	From   string
	// Base is the version that the author saw, zero for nothing.
	Base Version
	Item Item
	// Resolves are conflict copies, by version, that this change settles: they leave
	// the tree and are in the history of what Put or Settle wrote, after a Delete in
	// the trash.
	Resolves []Version
	// Retention is how long Purge and Prune keep things, in whole seconds.
	Retention time.Duration
	// Name is that of a snapshot.
	Name string
}

// OpID names an operation.
type OpID [16]byte

// Op is what an author does at once: its changes take effect one after the other,
// and nothing comes between.
type Op struct {
	// Changes are at most MaxChanges.
	Changes []Change
	// Undoes is the operation whose effect this one takes back, if it was made by
	// [View.Undo] or [View.Redo].
	Undoes OpID
	// Redo says that what is taken back was itself an undo.
	Redo bool
}

// Author is who made an operation, as far as a tree needs to know.
type Author struct {
	// Log and Length are where the operation is: no two have the same.
	Log    hypercrypto.Key
	Length uint64
	// Device signed it, under a name for people.
	Device     hypercrypto.PublicKey
	DeviceName string
	// Time is the author's hybrid logical clock: milliseconds since 1970 in the upper
	// 48 bits, a counter in the lower 16.
	Time uint64
}

// ID returns the name of the author's operation.
func (a Author) ID() OpID { return OpID(a.sum(nil)) }

// Version returns the name of what the author's change i wrote.
func (a Author) Version(i int) Version {
	return Version(a.sum(binary.BigEndian.AppendUint32(nil, uint32(i))))
}

// dirVersion returns the name of the nth directory that came into being for change i.
func (a Author) dirVersion(i, n int) Version {
	b := binary.BigEndian.AppendUint32(nil, uint32(i))
	return Version(a.sum(binary.BigEndian.AppendUint32(b, uint32(n))))
}

func (a Author) sum(more []byte) []byte {
	h := hypercrypto.Sum(a.Log[:], binary.BigEndian.AppendUint64(nil, a.Length), more)
	return h[:16]
}

// clockTime returns the wall clock's part of a hybrid logical time.
func clockTime(hlc uint64) time.Time { return time.UnixMilli(int64(hlc >> 16)).UTC() }
