package foldersync

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/filetree"
)

const (
	kindFile    = filetree.File
	kindDir     = filetree.Dir
	kindSymlink = filetree.Symlink
)

// Tree is what a folder is kept equal to. Its methods may be called at the same time.
type Tree interface {
	// Walk yields all entries. Content may be missing, as in Diff: Open finds it.
	Walk(ctx context.Context) iter.Seq2[filetree.Entry, error]
	// Lookup returns the entry at a path, with Content.
	Lookup(ctx context.Context, path string) (filetree.Entry, bool, error)
	// Position names the current state. It is opaque, at most 64 KiB, and stays valid
	// across restarts.
	Position(ctx context.Context) ([]byte, error)
	// Diff yields what is now at all paths that were changed since a position, also where
	// that is what was there then: somebody may have seen what was in between.
	// ErrPosition says that the position is not known any more.
	Diff(ctx context.Context, from []byte) iter.Seq2[Difference, error]
	// Changed returns a channel that receives after the state may have changed.
	// It is the same channel every time and may drop what nobody waits for, but holds
	// one value.
	Changed() <-chan struct{}
	// Commit makes at most MaxChanges changes with MaxBytes, in their order. They are
	// durable when it returns; after an error some may be. It returns the version that
	// each Put made, also if it became a conflict copy elsewhere. A Move takes versions
	// along.
	Commit(ctx context.Context, changes []filetree.Change) ([]filetree.Version, error)
	// Void returns those of some versions, each with a path at which it may be, that
	// Commit made and that do not count: others had decided that this device may not
	// write.
	Void(ctx context.Context, at map[filetree.Version]string) (map[filetree.Version]bool, error)
	// Store stores a content. prev, if not nil, is a reference to an earlier content
	// of which most may be the same.
	Store(ctx context.Context, r io.Reader, prev []byte) (Content, error)
	// StoreBatch stores small contents together, and those that are known already not
	// again. data is not kept.
	StoreBatch(ctx context.Context, data []Small) ([][]byte, error)
	// Find returns a reference to a known content.
	Find(ctx context.Context, hash hypercrypto.Hash, size uint64) (ref []byte, ok bool, err error)
	// Open reads the content of an entry, from peers if need be. If the bytes do not have
	// the hash of the entry, reading fails with ErrContent, at the latest at the end.
	Open(ctx context.Context, e filetree.Entry) (Reader, error)
	// Fetch says that the contents of entries are opened soon, in this order: what is
	// not here begins to come. It may set where a content is. stop ends that.
	Fetch(ctx context.Context, entries []*filetree.Entry) (stop func())
	// Follow says, until ctx ends, that all contents are wanted: they may come while
	// others store them, before the changes that they belong to.
	Follow(ctx context.Context)
}

// Reader reads a content, once from the start to the end, by one of its methods.
type Reader interface {
	io.ReadCloser
	io.WriterTo
}

// ErrPosition says that a tree does not know a position.
var ErrPosition = errors.New("foldersync: position not known")

// ErrContent says that bytes are not those that an entry is about.
var ErrContent = fault.New(fault.Corrupt, "the content is not what its author said it is")

// Limits of one commit.
const (
	MaxChanges = 4000
	MaxBytes   = 4 << 20 // of paths, references and link targets
)

// Difference is a path at which two states of a tree differ.
type Difference struct {
	Path string
	// Entry is what the later state has there, if Exists.
	Entry  filetree.Entry
	Exists bool
}

// Content is a stored content.
type Content struct {
	Ref  []byte
	Hash hypercrypto.Hash
	Size uint64
}

// Small is a content in memory.
type Small struct {
	Data []byte
	Hash hypercrypto.Hash
}
