package foldersync

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// replace gives a temporary file its name, in the place of what the index says is
// there, or of nothing. It never takes away anything else: a file that was changed or
// made in the last moment stays, with errLocal.
func (p *place) replace(temporary, name string, old *record) error {
	fd := int(p.h.Fd())
	if old == nil {
		err := unix.Renameat2(fd, temporary, fd, name, unix.RENAME_NOREPLACE)
		switch {
		case errors.Is(err, fs.ErrExist):
			return errLocal
		case unsupported(err):
			return p.replaceChecked(temporary, name, old)
		}
		return wrapRename(temporary, name, err)
	}
	err := unix.Renameat2(fd, temporary, fd, name, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errLocal
	case unsupported(err):
		return p.replaceChecked(temporary, name, old)
	case err != nil:
		return wrapRename(temporary, name, err)
	}
	// What was there has the temporary name now.
	if !p.is(temporary, old) {
		if err := unix.Renameat2(fd, temporary, fd, name, unix.RENAME_EXCHANGE); err != nil {
			return wrapRename(temporary, name, err)
		}
		return errLocal
	}
	return p.root.Remove(temporary)
}

// remove removes what the index says is at name, and nothing else.
func (p *place) remove(name string, old *record) error {
	if old.kind == kindDir {
		return p.root.Remove(name)
	}
	fd := int(p.h.Fd())
	temporary := temporaryName()
	err := unix.Renameat2(fd, name, fd, temporary, unix.RENAME_NOREPLACE)
	switch {
	case unsupported(err):
		if !p.is(name, old) {
			return errLocal
		}
		return p.root.Remove(name)
	case err != nil:
		return wrapRename(name, temporary, err)
	}
	if !p.is(temporary, old) {
		if err := unix.Renameat2(fd, temporary, fd, name, unix.RENAME_NOREPLACE); err != nil {
			return wrapRename(temporary, name, err)
		}
		return errLocal
	}
	return p.root.Remove(temporary)
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP)
}

func wrapRename(from, to string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}
