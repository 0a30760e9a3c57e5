package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Error is an error with a kind and, where there is something to do about it,
// hints.
type Error struct {
	Kind Kind
	// Err says what went wrong. It is what a person reads.
	Err error
	// Hints say what to do next, one sentence or command each.
	Hints []string
}

// New returns an error of kind k. The arguments are those of [fmt.Errorf].
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Err: fmt.Errorf(format, args...)}
}

// Wrap gives err a kind, keeping its text. A nil err stays nil.
func Wrap(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Err: err}
}

// Hint returns e with one more hint.
func (e *Error) Hint(format string, args ...any) *Error {
	c := *e
	c.Hints = append(c.Hints[:len(c.Hints):len(c.Hints)], fmt.Sprintf(format, args...))
	return &c
}

// WithHint adds a hint to any error and keeps its kind.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return (&Error{Kind: KindOf(err), Err: err}).Hint(format, args...)
}

// Word makes s one word for a shell, for hints that are commands.
func Word(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$`!*?[](){}<>|&;~#") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost fault in err's chain, or the kind
// that an error of the standard library or the system stands for.
func KindOf(err error) Kind {
	var f *Error
	switch {
	case err == nil:
		return Other
	case errors.As(err, &f):
		return f.Kind
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Unavailable
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full
	case errors.Is(err, syscall.EIO):
		return Disk
	case errors.Is(err, syscall.EADDRINUSE):
		return Busy
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return Permission
	}
	return Other
}

// HintsOf returns the hints of the faults in err's chain, outermost first.
func HintsOf(err error) []string {
	var hints []string
	for err != nil {
		var f *Error
		if !errors.As(err, &f) {
			break
		}
		hints = append(hints, f.Hints...)
		err = f.Err
	}
	return hints
}
