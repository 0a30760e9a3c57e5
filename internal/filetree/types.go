package filetree

import (
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
	// Size is the content's length in bytes, Hash its BLAKE2b-256, Content says where
	// it is (an encoded content.Ref). Of files only.
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
	// Move puts what is at From at Path. Base is what the author saw at From, and
	// nothing may be at Path.
	Move
)

// Change is one step of an operation. All steps of one operation are applied
// together.
type Change struct {
	Action Action
	Path   string
	From   string
	// Base is the version that the author saw, zero for nothing.
	Base Version
	Item Item
	// Resolves are conflict copies, by version, that this change settles.
	Resolves []Version
}
