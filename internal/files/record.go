package files

import (
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive/link"
)

// Record is what the library remembers of a drive. Records are values: what
// they point to is never changed.
type Record struct {
	// Name is unique in the library.
	Name string `json:"name"`
	// Link is the link that gives everything needed to read the drive.
	Link string `json:"link"`
	// Key and EncryptionKey are what Link says.
	Key           hypercrypto.Key            `json:"-"`
	EncryptionKey *hypercrypto.EncryptionKey `json:"-"`
	// Space is the namespace of an own drive's key pair; empty for drives of
	// others.
	Space string `json:"space,omitempty"`
	// Path is the file or folder on this machine that an own drive follows.
	Path string `json:"path,omitempty"`
	// Ignore holds the patterns given when it was shared.
	Ignore []string  `json:"ignore,omitempty"`
	Added  time.Time `json:"added"`
	// Gets holds what gets have written, by destination. While one runs, and
	// after it was killed, a destination has several.
	Gets map[string][]Get `json:"gets,omitempty"`
}

// Get is one run of [Library.Get] to one destination.
type Get struct {
	Version uint64    `json:"version"`
	Path    string    `json:"path,omitempty"` // inside the drive
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Own tells whether the drive was made here.
func (r Record) Own() bool { return r.Space != "" }

// linkTo returns the text of [Record.Link].
func linkTo(key hypercrypto.Key, encryption *hypercrypto.EncryptionKey) string {
	l := link.New(key)
	l.EncryptionKey = encryption
	return l.URL()
}

// covers tells whether path is what the record follows or lies in it, and
// returns the rest in the form of drives.
func (r Record) covers(path string) (inside string, ok bool) {
	if r.Path == "" {
		return "", false
	}
	rel, err := filepath.Rel(r.Path, path)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	if rel == "." {
		return "", true
	}
	return "/" + filepath.ToSlash(rel), true
}
