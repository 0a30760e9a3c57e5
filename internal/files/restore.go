package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
	"github.com/tradle/cloudpal/internal/fault"
)

// Restored is the result of [Library.Restore].
type Restored struct {
	// Version is the new version, From the one whose state it is, Before the
	// one that was newest until then.
	Version, From, Before uint64
	Changes               uint64
}

// Restore makes an older state of an own drive, or of a path in it, the newest
// version. The folder that the drive follows changes with it; what it held and
// had not been imported becomes a version first, so that nothing is lost.
func (l *Library) Restore(ctx context.Context, p Place, s State) (Restored, error) {
	if s.Version == 0 && s.At.IsZero() {
		s.Version = p.Version
	}
	if s.Version == 0 && s.At.IsZero() {
		return Restored{}, fault.New(fault.Usage, "restore needs the version or time to go back to").
			Hint("%s", p.seeVersions())
	}
	h, release, err := l.acquire(ctx, p.Record)
	if err != nil {
		return Restored{}, explain(ctx, err)
	}
	defer release()
	if !h.drive.Writable() {
		return Restored{}, fault.New(fault.Permission, "this drive belongs to somebody else and cannot be changed here").
			Hint("get the older version beside the newest: cloudpal get %s --version N DEST", fault.Word(p.shortRef()))
	}
	unlock, err := h.lock(ctx)
	if err != nil {
		return Restored{}, explain(ctx, err)
	}
	defer unlock()
	share := &Share{Record: p.Record, l: l, handle: h, release: func() {}}
	out, err := share.restore(ctx, p, s)
	return out, explain(ctx, err)
}

func (s *Share) restore(ctx context.Context, p Place, state State) (out Restored, err error) {
	d := s.handle.drive
	// The state is found before the import below adds a version.
	if out.From, err = p.version(ctx, d, state); err != nil {
		return out, err
	}
	onDisk := s.Record.Path != ""
	if onDisk {
		_, err := os.Stat(s.Record.Path)
		switch {
		case err == nil:
			if _, err := s.importLocked(ctx, &mirror.Options{}, nil); err != nil {
				return out, err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return out, err
		}
	}
	out.Before = d.Version()
	old, err := d.Checkout(out.From)
	if err != nil {
		return out, err
	}
	defer old.Close()
	n, err := d.Restore(ctx, old, p.Path)
	if err != nil {
		return out, err
	}
	out.Changes, out.Version = uint64(n), d.Version()
	if onDisk {
		err = s.writeBack(ctx)
	}
	return out, err
}

// writeBack makes the folder what the drive is.
func (s *Share) writeBack(ctx context.Context) error {
	dir := s.Record.Path
	// The links of an own drive are as they were on this disk.
	m := &mirror.Options{OutsideLinks: true}
	// A path that is gone was a file if the drive has it under that name alone.
	name := "/" + filepath.Base(dir)
	single := isFile(dir)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if single, err = s.handle.drive.Exists(ctx, name); err != nil {
			return err
		}
	}
	if single {
		m.Prefixes = []string{name}
		dir = filepath.Dir(dir)
	} else {
		f, err := s.filter()
		if err != nil {
			return fault.Wrap(fault.Usage, err)
		}
		m.Ignore = f.ignore
	}
	result, err := mirror.Export(ctx, s.handle.drive.View, dir, m)
	if err != nil {
		return err
	}
	for _, p := range result.Problems {
		return fault.Wrap(fault.KindOf(p), p)
	}
	return nil
}
