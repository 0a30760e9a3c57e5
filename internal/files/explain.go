package files

import (
	"context"
	"errors"
	"strings"

	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hyperblobs"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/internal/fault"
)

// explain gives errors of the library packages their kind and, where a person
// can do something, a hint.
func explain(ctx context.Context, err error) error {
	var known *fault.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		// The cause says more than the call that it interrupted.
		if cause := context.Cause(ctx); errors.As(cause, &known) {
			return cause
		}
		return fault.New(fault.Canceled, "interrupted")
	case errors.Is(err, hyperdrive.ErrNotFound):
		return fault.Wrap(fault.NotFound, err)
	case errors.Is(err, hyperdrive.ErrReadOnly), errors.Is(err, hypercore.ErrNotWritable):
		return fault.New(fault.Permission, "this drive belongs to somebody else and cannot be changed here: %w", err)
	case errors.Is(err, hyperbee.ErrNotAVersion):
		return fault.New(fault.NotFound, "there is no such version: the number is inside of a change that other software made")
	case errors.Is(err, hyperdrive.ErrPath):
		return fault.Wrap(fault.Usage, err)
	case errors.Is(err, hypercore.ErrNotAvailable):
		return unavailable("a part of the drive is not on this machine: %w", err)
	case errors.Is(err, hypercore.ErrConflict):
		return fault.New(fault.Conflict, "the owner of this drive signed two different histories; it is frozen: %w", err).
			Hint("nothing that was received before is lost; ask the owner for a new link")
	case errors.Is(err, storage.ErrFull):
		err = fault.New(fault.Full, "the disk of the data folder is full: %w", err)
	case errors.Is(err, storage.ErrCorrupt):
		return fault.New(fault.Corrupt, "what is stored here is damaged: %w", err).
			Hint("find all damage, and repair what can be repaired: cloudpal doctor")
	case errors.Is(err, hypercrypto.ErrEncryption), errors.Is(err, hypercore.ErrDecrypt), errors.Is(err, hyperbee.ErrBadBlock):
		return fault.New(fault.Corrupt, "the drive cannot be read: %w", err).
			Hint("if it is encrypted, use the whole link, with ?encryption= and what follows")
	case errors.Is(err, hyperdrive.ErrEntry), errors.Is(err, hyperblobs.ErrInvalid):
		return fault.Wrap(fault.Corrupt, err)
	case errors.Is(err, mirror.ErrOutside), errors.Is(err, mirror.ErrName):
		return fault.Wrap(fault.Unsafe, err)
	case errors.Is(err, mirror.ErrChanging), errors.Is(err, mirror.ErrCollision):
		return fault.Wrap(fault.Conflict, err)
	}
	if fault.KindOf(err) == fault.Full {
		return fault.WithHint(err, "free some space and run the same command again; what was done already is kept")
	}
	return err
}

// unavailable is the error of data that nobody reachable has.
func unavailable(format string, args ...any) error {
	return fault.New(fault.Unavailable, format, args...).
		Hint("a machine that has the drive must be running cloudpal share or cloudpal seed")
}

// plainError says what an error of package mirror does, without the name of the
// package.
type plainError struct{ error }

func (e *plainError) Error() string { return ProblemText(e.error) }
func (e *plainError) Unwrap() error { return e.error }

// ProblemText is what a person reads about a problem of an import or a get.
func ProblemText(err error) string { return strings.TrimPrefix(err.Error(), "mirror: ") }
