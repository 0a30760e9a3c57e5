package foldersync

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/files/ignore"
)

// IgnoreFile is the name of the file in the folder that says what stays out of the
// tree. It is in the tree itself.
const IgnoreFile = ignore.File

// Names of our own in the folder, which are never in the tree.
const (
	markerName      = ".cloudpal-folder"
	temporaryPrefix = ".cloudpal-"
	temporarySuffix = ".tmp"  // of what is being written
	keptSuffix      = ".keep" // of what is being replaced or removed
)

func isTemporary(name string) bool { return hasForm(name, temporarySuffix) }
func isKept(name string) bool      { return hasForm(name, keptSuffix) }

func hasForm(name, suffix string) bool {
	return len(name) == len(temporaryPrefix)+16+len(suffix) && strings.HasPrefix(name, temporaryPrefix) && strings.HasSuffix(name, suffix)
}

func isOurs(name string) bool { return name == markerName || isTemporary(name) || isKept(name) }

// temporaryName returns a name that nothing has.
func temporaryName() string { return randomName(temporarySuffix) }
func keptName() string      { return randomName(keptSuffix) }

// recoveredName returns the name that something gets that was called kept and has to be seen.
func recoveredName(kept string) string {
	return "recovered-" + kept[len(temporaryPrefix):len(kept)-len(keptSuffix)]
}

func randomName(suffix string) string { return temporaryPrefix + randomHex() + suffix }

func randomHex() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// editorFiles are patterns of what editors and browsers write before they rename it to what it is
// meant to be.
const editorFiles = `*~
.*.sw?
.*.swpx
.#*
\#*#
.~lock.*#
~$*
*.crdownload
.goutputstream-*
.~*.tmp
`

// rules say what of the names stays out.
type rules struct {
	list *ignore.List
	file stat // of the ignore file when it was read, zero if there was none
}

func loadRules(root string, patterns []string) (*rules, error) {
	file := ignoreStat(root)
	list, err := ignore.Load(root, ignore.Defaults+editorFiles, patterns)
	if err != nil {
		return nil, err
	}
	return &rules{list, file}, nil
}

func ignoreStat(root string) (s stat) {
	if info, err := os.Stat(filepath.Join(root, IgnoreFile)); err == nil {
		s, _ = statOf(info)
	}
	return s
}

// id is the same for the same rules.
func (r *rules) id() []byte {
	h := hypercrypto.Sum([]byte(r.list.String()))
	return h[:16]
}

// ignored tells whether a path in the tree stays out.
func (r *rules) ignored(path string, dir bool) bool {
	for i := 0; i < len(path); {
		end := len(path)
		if j := strings.IndexByte(path[i:], '/'); j >= 0 {
			end = i + j
		}
		if isOurs(path[i:end]) {
			return true
		}
		i = end + 1
	}
	return r.list != nil && r.list.Match(path, dir)
}

// ignoredHere is ignored for a path in folders that are not.
func (r *rules) ignoredHere(path string, dir bool) bool { return r.list.MatchBelow(path, dir) }
