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
	// After a crash in between, the name tells that it may be more than a temporary file.
	kept := keptName()
	if err := unix.Renameat(fd, temporary, fd, kept); err != nil {
		return wrapRename(temporary, kept, err)
	}
	err := unix.Renameat2(fd, kept, fd, name, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.Join(errLocal, p.root.Remove(kept))
	case unsupported(err):
		err = p.replaceChecked(kept, name, old)
		if err != nil {
			err = errors.Join(err, p.root.Remove(kept))
		}
		return err
	case err != nil:
		return errors.Join(wrapRename(kept, name, err), p.root.Remove(kept))
	}
	// What was there has the other name now.
	if !p.is(kept, old) {
		if err := unix.Renameat2(fd, kept, fd, name, unix.RENAME_EXCHANGE); err != nil {
			return errors.Join(errLocal, p.show(kept))
		}
		return errors.Join(errLocal, p.root.Remove(kept))
	}
	return p.root.Remove(kept)
}

// rename moves what the index says is at name to another place, where nothing may be.
func (p *place) rename(name string, old *record, to *place, newName string) error {
	if !p.is(name, old) {
		return errLocal
	}
	err := unix.Renameat2(int(p.h.Fd()), name, int(to.h.Fd()), newName, unix.RENAME_NOREPLACE)
	return wrapRename(name, newName, err)
}

// remove removes what the index says is at name, and nothing else.
func (p *place) remove(name string, old *record) error {
	if old.kind == kindDir {
		return p.root.Remove(name)
	}
	fd := int(p.h.Fd())
	kept := keptName()
	err := unix.Renameat2(fd, name, fd, kept, unix.RENAME_NOREPLACE)
	switch {
	case unsupported(err):
		if !p.is(name, old) {
			return errLocal
		}
		return p.root.Remove(name)
	case err != nil:
		return wrapRename(name, kept, err)
	}
	if !p.is(kept, old) {
		if err := unix.Renameat2(fd, kept, fd, name, unix.RENAME_NOREPLACE); err != nil {
			// Something else has the name by now: both are somebody's.
			return errors.Join(errLocal, p.show(kept))
		}
		return errLocal
	}
	return p.root.Remove(kept)
}

// show gives what was taken away, and cannot be put back, a name that is seen.
func (p *place) show(kept string) error {
	fd := int(p.h.Fd())
	name := recoveredName(kept)
	return wrapRename(kept, name, unix.Renameat2(fd, kept, fd, name, unix.RENAME_NOREPLACE))
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
