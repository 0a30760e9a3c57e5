package spacefs

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// replace replaces a file as editors do, by a rename, if it is there and still what it was
// when it was read.
func replace(m *machine, name, before, after string) error {
	temp := filepath.Join(m.dir, "edit")
	if err := os.WriteFile(temp, []byte(after), 0o644); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, m.path(name), unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	was, err := os.ReadFile(temp)
	if err == nil && string(was) != before {
		err = fmt.Errorf("%q was %q, not %q", name, was, before)
		m.t.Error(err)
	}
	return err
}
