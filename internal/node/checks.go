package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/identity"
)

// checks are what "cloudpal doctor" looks at besides the logs. What else a node keeps
// is checked by one more entry here.
func (n *Node) checks() []api.Check {
	return []api.Check{
		{Name: "data folder", Run: n.checkFolder},
		{Name: "identity", Run: n.checkIdentity},
		{Name: "folders", Run: n.checkFolders},
		{Name: "spaces", Run: n.checkSpaces},
		{Name: "copies", Run: n.checkCopies},
		{Name: "clocks", Run: n.checkClocks},
	}
}

// checkFolder looks whether others can read secrets, and takes that away.
func (n *Node) checkFolder(_ context.Context, repair bool) (f api.Findings, err error) {
	if runtime.GOOS == "windows" {
		return f, nil // others are kept out by other means than these bits
	}
	for _, name := range []string{".", tokenFile, settingsFile} {
		path := filepath.Join(n.opts.Home, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return f, err
		}
		if info.Mode().Perm()&0o077 == 0 {
			continue
		}
		f.Problems = append(f.Problems, fmt.Sprintf("others can use %s", path))
		if repair {
			if err := os.Chmod(path, info.Mode().Perm()&^0o077); err != nil {
				return f, err
			}
			f.Repaired = append(f.Repaired, fmt.Sprintf("took the rights of others on %s away", path))
		}
	}
	return f, nil
}

// checkIdentity looks whether the key file can be used, as far as that can be told
// without opening it. It changes nothing.
func (n *Node) checkIdentity(context.Context, bool) (f api.Findings, err error) {
	i, err := n.person.store.Load()
	switch kind := fault.KindOf(err); {
	case err == nil:
	case kind == fault.NotFound:
		return f, nil
	case kind == fault.Corrupt, kind == fault.Permission:
		f.Problems = append(f.Problems, err.Error())
		return f, nil
	default:
		return f, err
	}
	if i.Protection == identity.Passphrase && n.folders.Running() && n.person.locked() {
		f.Warn("the key of this device is locked, so it joins no space and makes none: cloudpal identity unlock")
	}
	return f, nil
}
