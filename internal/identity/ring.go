package identity

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/zalando/go-keyring"
)

// ringService is what the keyring shows as the owner of the keys.
const ringService = "cloudpal"

// SystemRing is the keyring of the system: the Keychain on macOS, the Credential
// Manager on Windows, the Secret Service elsewhere. It is trusted: who can ask it has
// the key.
type SystemRing struct{}

var _ Ring = SystemRing{}

// errNoRing: there is nothing to ask.
var errNoRing = errors.New("there is none")

// Get implements [Ring].
func (SystemRing) Get(name string) (string, error) {
	if !reachable() {
		return "", errNoRing
	}
	secret, err := keyring.Get(ringService, name)
	if errors.Is(err, keyring.ErrNotFound) {
		return "", ErrNotInRing
	}
	return secret, err
}

// Set implements [Ring].
func (SystemRing) Set(name, secret string) error {
	if !reachable() {
		return errNoRing
	}
	return keyring.Set(ringService, name, secret)
}

// Delete implements [Ring].
func (SystemRing) Delete(name string) error {
	if !reachable() {
		return errNoRing
	}
	if err := keyring.Delete(ringService, name); !errors.Is(err, keyring.ErrNotFound) {
		return err
	}
	return nil
}

// Available implements [Ring].
func (r SystemRing) Available() bool {
	_, err := r.Get("a key that does not exist")
	return errors.Is(err, ErrNotInRing)
}

// reachable tells whether there is a session to ask. Without one the library for
// D-Bus would start a bus of its own.
func reachable() bool {
	switch runtime.GOOS {
	case "darwin", "windows":
		return true
	}
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	_, err := os.Stat(filepath.Join(dir, "bus"))
	return dir != "" && err == nil
}
