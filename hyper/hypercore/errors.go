package hypercore

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Errors of a Core. Test with errors.Is.
var (
	// ErrClosed: the handle, or the log below it, is closed.
	ErrClosed = errors.New("hypercore: closed")
	// ErrNotWritable: the handle is a reader: it has no key pair that signs, or
	// is a snapshot. Open the log with its key pair to write.
	ErrNotWritable = errors.New("hypercore: not writable")
	// ErrNotAvailable: the block is not held and the call does not wait.
	ErrNotAvailable = errors.New("hypercore: block is not available here")
	// ErrOutOfRange: the position lies beyond the end of a snapshot or log that
	// does not grow.
	ErrOutOfRange = errors.New("hypercore: beyond the end of the log")
	// ErrTruncated: the log was cut below what the handle reads. Take a new
	// snapshot and start again from the new end.
	ErrTruncated = errors.New("hypercore: the log was truncated")
	// ErrConflict: the signer signed two different histories of the same fork.
	// The log is frozen; [Core.Evidence] has both heads.
	ErrConflict = errors.New("hypercore: conflicting histories, the log is frozen")
	// ErrTooLarge: a block above MaxBlockSize.
	ErrTooLarge = errors.New("hypercore: block too large")
	// ErrNeedsSignature: the manifest asks for more signers than this one; see
	// AppendOptions.
	ErrNeedsSignature = errors.New("hypercore: the log needs the signatures of several signers")
	// ErrKeyMismatch: manifest, key pair and key do not belong together.
	ErrKeyMismatch = errors.New("hypercore: key, manifest and key pair do not belong together")
	// ErrNotFound: no such log is stored and it may not be created.
	ErrNotFound = errors.New("hypercore: log is not stored here")
	// ErrDecrypt: a block cannot be decrypted with the key that was given.
	ErrDecrypt = errors.New("hypercore: block cannot be decrypted")
	// ErrChallenge: a peer did not prove that it holds a block; see
	// [Peer.Challenge].
	ErrChallenge = errors.New("hypercore: the peer does not prove that it has the block")
	// ErrBranchMoved: the log changed so that the branch no longer extends it.
	ErrBranchMoved = errors.New("hypercore: the branch does not extend the log any more")
	// ErrDraftBehind: peers sent more of the log than the draft has, and nothing that
	// tells whether the two are the same. Commit again when the draft has got there.
	ErrDraftBehind = errors.New("hypercore: the log goes further than the draft and cannot be compared with it")
)

// MissingError is [ErrNotAvailable] of a certain block; see [WithoutPeers].
type MissingError struct {
	Key   hypercrypto.Key // of the log
	Block uint64
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%v: block %d of log %s", ErrNotAvailable, e.Block, e.Key)
}

func (e *MissingError) Unwrap() error { return ErrNotAvailable }

// MaxBlockSize is the largest stored block in bytes, padding included: a block
// and its proof have to fit one message.
const MaxBlockSize = 15 << 20
