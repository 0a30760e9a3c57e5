package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tradle/cloudpal/internal/fault"
)

// Home returns the data folder: $CLOUDPAL_HOME, else cloudpal in the data folder
// of the XDG base directories.
func Home() (string, error) {
	if dir := os.Getenv("CLOUDPAL_HOME"); dir != "" {
		return filepath.Abs(dir)
	}
	// The specification tells to ignore relative paths.
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cloudpal"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.New(fault.Usage, "no data folder: %w", err).Hint("set CLOUDPAL_HOME")
	}
	return filepath.Join(home, ".local", "share", "cloudpal"), nil
}

// makeHome makes the data folder and keeps others out of it.
func makeHome(home string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fault.WithHint(fmt.Errorf("make data folder: %w", err), "choose another one with CLOUDPAL_HOME")
	}
	info, err := os.Stat(home)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(home, 0o700); err != nil {
			return fault.New(fault.Permission, "the data folder %s is open to other users: %w", home, err)
		}
	}
	return nil
}

const (
	storeFolder    = "store"
	identityFolder = "identity"
	socketName     = "cloudpal.sock"
	// maxSocketPath is the longest path that all systems accept for a socket.
	maxSocketPath = 100
)

// Socket returns the path of the socket of the node of a data folder. A path
// that is too long for a socket is replaced by a short one, which a symbolic
// link in the data folder leads to.
func Socket(home string) string {
	path := filepath.Join(home, socketName)
	if len(path) <= maxSocketPath {
		return path
	}
	if short, err := os.Readlink(path); err == nil {
		return short
	}
	return path
}

// makeSocketPath returns where the socket of a data folder is to be made. The
// caller must hold the lock of the data folder.
func makeSocketPath(home string) (string, error) {
	path := filepath.Join(home, socketName)
	if len(path) <= maxSocketPath {
		return path, removeStale(path)
	}
	sum := sha256.Sum256([]byte(home))
	dir := filepath.Join(os.TempDir(), "cloudpal-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	// The folder lies where everybody can write: it must be ours.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ownedByUs(info) {
		return "", fault.New(fault.Permission, "%s belongs to somebody else", dir).
			Hint("choose a shorter data folder with CLOUDPAL_HOME")
	}
	short := filepath.Join(dir, hex.EncodeToString(sum[:8])+".sock")
	if err := errors.Join(removeStale(short), removeStale(path)); err != nil {
		return "", err
	}
	return short, os.Symlink(short, path)
}

// removeStale removes the socket of a node that did not end well.
func removeStale(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
