package hyperbee

import "errors"

var (
	// ErrNotAVersion means that the blocks do not form a tree at this version:
	// the version lies inside a batch, or the writer is faulty or hostile. Read
	// another version.
	ErrNotAVersion = errors.New("hyperbee: not a readable version")

	// ErrBadBlock means that a block is not a well-formed tree block. The log is
	// not a bee or its writer is faulty.
	ErrBadBlock = errors.New("hyperbee: malformed block")

	// ErrUnsupported means that a block is in the format of hyperbee2, which
	// this package does not read.
	ErrUnsupported = errors.New("hyperbee: hyperbee2 block format is not supported")

	// ErrReadOnly is returned by writes to a checkout, a snapshot, a tree opened
	// read-only, or a core that is not writable.
	ErrReadOnly = errors.New("hyperbee: tree is read-only")

	// ErrNotFound is returned by GetBySeq for a block outside the sub-tree or
	// the version.
	ErrNotFound = errors.New("hyperbee: no such entry")

	// ErrClosed is returned by a closed tree or batch.
	ErrClosed = errors.New("hyperbee: closed")
)
