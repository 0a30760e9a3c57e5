package foldersync

import (
	"encoding/hex"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/filetree"
)

// traits are what the file system and the operating system make of names and modes.
type traits struct {
	fold    bool // names that differ in case only are the same
	compose bool // names that differ in their Unicode form only are the same
	windows bool // names are restricted as on Windows
	fixed   bool // files have the mode that the mount gives them, as on FAT: it says nothing
	// taken tells whether something has a name or one that is the same.
	taken func(at *os.Root, name string) bool
}

// probe finds out about a folder's file system. The marker is there. Where nothing can be
// made, the system is taken for one that can do all.
func probe(dir *os.Root) traits {
	_, err := dir.Lstat(strings.ToUpper(markerName))
	t := traits{
		fold:    err == nil,
		compose: err == nil && runtime.GOOS == "darwin",
		windows: runtime.GOOS == "windows",
		taken: func(at *os.Root, name string) bool {
			_, err := at.Lstat(name)
			return err == nil
		},
	}
	name := temporaryName()
	if err := dir.WriteFile(name, nil, 0o600); err != nil {
		return t
	}
	defer dir.Remove(name)
	for _, mode := range []fs.FileMode{0o700, 0o640} {
		err := dir.Chmod(name, mode)
		info, failed := dir.Lstat(name)
		t.fixed = t.fixed || err != nil || failed == nil && info.Mode().Perm() != mode
	}
	// A name with a colon, of the form of temporary ones.
	name = name[:len(temporaryPrefix)] + ":" + name[len(temporaryPrefix)+1:]
	if err := dir.WriteFile(name, nil, 0o600); err != nil {
		t.windows = true
		return t
	}
	dir.Remove(name)
	return t
}

// chmod gives something its mode, where there are modes.
func (f *Folder) chmod(at *os.Root, name string, mode fs.FileMode) error {
	if f.traits.Load().fixed {
		return nil
	}
	return at.Chmod(name, mode)
}

// Modes of what comes from disks that have none.
const (
	newFileMode = 0o644
	newDirMode  = 0o755
)

// mode returns the mode in the tree of something that has one on disk: where that says
// nothing, the one that it has in the tree.
func (f *Folder) mode(kind filetree.Kind, disk fs.FileMode, now filetree.Entry, exists bool) fs.FileMode {
	switch {
	case !f.traits.Load().fixed || kind == kindSymlink:
		return disk
	case exists && now.Kind == kind:
		return now.Mode.Perm()
	case kind == kindDir:
		return newDirMode
	}
	return newFileMode
}

// legal tells whether a name can be used as it is.
func (n *traits) legal(name string) bool {
	if !n.windows {
		return true
	}
	if strings.ContainsAny(name, `<>:"|?*\`) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return false
	}
	for i := range len(name) {
		if name[i] < 0x20 {
			return false
		}
	}
	stem, _, _ := strings.Cut(name, ".")
	switch stem = strings.ToUpper(strings.TrimRight(stem, " ")); stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return false
	}
	if rest, ok := strings.CutPrefix(stem, "COM"); ok || strings.HasPrefix(stem, "LPT") {
		if !ok {
			rest = stem[3:]
		}
		return utf8.RuneCountInString(rest) != 1 || !strings.Contains("0123456789¹²³", rest)
	}
	return true
}

// maxLocalName is the length of the longest names that file systems have, in bytes.
const maxLocalName = 255

// substitute returns the name under which a file is on disk if its own cannot be used:
// it has the beginning, a part of the hash of the name, and the extension.
func substitute(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || strings.ContainsRune(`<>:"|?*\`, r) {
			return '_'
		}
		return r
	}, name)
	clean = strings.TrimRight(clean, ". ")
	ext := path.Ext(clean)
	if len(ext) > 16 || ext == clean {
		ext = ""
	}
	stem := strings.TrimSuffix(clean, ext)
	hash := hypercrypto.Sum([]byte(name))
	tail := "~" + hex.EncodeToString(hash[:4]) + ext
	if !(&traits{windows: true}).legal(stem + ".x") {
		stem = "_" + stem
	}
	for len(stem)+len(tail) > maxLocalName {
		_, n := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-n]
	}
	return stem + tail
}

// localName returns the name on disk of the last part of a path in the tree, in the open
// folder at that has the path dir. It is that of the path unless the system cannot have
// it, or takes it for that of another file.
func (f *Folder) localName(at *os.Root, dir, path string) (string, error) {
	_, name := split(f.names.local(path))
	_, own := split(path)
	n := f.traits.Load()
	if name != own {
		return name, nil // it has one already
	}
	if !n.legal(name) {
		return substitute(name), nil
	}
	if !n.fold || !n.taken(at, name) {
		return name, nil
	}
	if _, known, err := f.idx.get(path); err != nil || known {
		return name, err
	}
	// Somebody else's, or a new one of this name.
	for r, err := range f.idx.records(dir) {
		if err != nil {
			return "", err
		}
		parent, other := split(r.path)
		if parent != dir || r.path == dir {
			continue
		}
		if r.local != "" {
			other = r.local
		}
		if other != name && strings.EqualFold(norm.NFC.String(other), norm.NFC.String(name)) {
			return substitute(name), nil
		}
	}
	return name, nil
}

// treeName returns the name in the tree of what is called local on disk, in a folder
// with the path dir in the tree.
func (f *Folder) treeName(dir, local string) string {
	name := f.names.name(dir, local)
	n := f.traits.Load()
	if name != local || n == nil || !n.compose || norm.NFC.IsNormalString(local) {
		return name
	}
	// Some file systems return another form of the name that a file was given.
	if composed := norm.NFC.String(local); composed != local {
		if r, known, err := f.idx.get(join(dir, composed)); err == nil && known && r.local == "" {
			return composed
		}
	}
	return name
}
