package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// tokenFile holds the token of the API over HTTP: 32 random bytes in z-base-32, and
// the end of a line. Whoever can read it can do everything. To take it back, delete
// it and start the node again.
const tokenFile = "api.token"

// token returns the token of a data folder, which is made when there is none.
func token(home string) (string, error) {
	path := filepath.Join(home, tokenFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newToken(home)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fault.New(fault.Permission, "the token of the API can be read by others").Hint("delete %s; a new one is made", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the token of the API: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if raw, err := hypercrypto.DecodeZ32(text); err != nil || len(raw) != 32 {
		return "", fault.New(fault.Corrupt, "the token of the API is damaged").Hint("delete %s; a new one is made", path)
	}
	return text, nil
}

func newToken(home string) (string, error) {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	text := hypercrypto.EncodeZ32(b)
	if err := writeFile(filepath.Join(home, tokenFile), []byte(text+"\n")); err != nil {
		return "", fmt.Errorf("make the token of the API: %w", err)
	}
	return text, nil
}

// writeFile makes or replaces a file for the owner only, whole or not at all.
func writeFile(path string, b []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails if it got its name
	_, err = temp.Write(b)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
