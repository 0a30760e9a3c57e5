package handoff

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tradle/cloudpal/internal/fault"
)

// source is what a side sends: the files and folders that a person named, as they
// were when it was made.
type source struct {
	entries []sourceEntry
	offer   offer
}

type sourceEntry struct {
	entry
	file string // where it is on this machine
}

// maxItems is how many names an offer holds.
const maxItems = 20

// newSource lists what is at paths. What cannot be sent is reported and left out.
func newSource(ctx context.Context, paths []string, device string, warn func(path string, err error)) (*source, error) {
	if len(paths) == 0 {
		return nil, fault.New(fault.Usage, "name the files to send")
	}
	s := &source{offer: offer{Device: device, Count: uint64(len(paths))}}
	taken := make(map[string]bool)
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		// A link that a person names stands for what it leads to.
		real, err := filepath.EvalSymlinks(abs)
		if err != nil {
			return nil, fault.WithHint(err, "check the path")
		}
		root := filepath.Base(abs)
		if root == string(filepath.Separator) || root == "." {
			return nil, fault.New(fault.Usage, "the root of the file system cannot be sent")
		}
		root = free(root, func(name string) bool { return taken[strings.ToLower(name)] })
		taken[strings.ToLower(root)] = true
		before := s.offer.Bytes
		folder, err := s.add(ctx, root, real, warn)
		if err != nil {
			return nil, err
		}
		if len(s.offer.Items) < maxItems {
			s.offer.Items = append(s.offer.Items, item{Name: root, Folder: folder, Bytes: s.offer.Bytes - before})
		}
	}
	if len(s.entries) == 0 {
		return nil, fault.New(fault.NotFound, "there is nothing to send")
	}
	s.offer.Entries = uint64(len(s.entries))
	id, err := s.id()
	s.offer.ID = id
	return s, err
}

// id is the hash of all entries.
func (s *source) id() (string, error) {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for i := range s.entries {
		if err := enc.Encode(&s.entries[i].entry); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// add adds what is at file, under the name root.
func (s *source) add(ctx context.Context, root, file string, warn func(string, error)) (folder bool, err error) {
	err = filepath.WalkDir(file, func(at string, d fs.DirEntry, err error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, e := filepath.Rel(file, at)
		if e != nil {
			return e
		}
		name := path.Join(root, filepath.ToSlash(rel))
		if err != nil {
			if at == file {
				return err
			}
			warn(at, err)
			return nil
		}
		if at == file {
			folder = d.IsDir()
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), stagingPrefix) {
			return fs.SkipDir // somebody else's unfinished transfer
		}
		e = s.addOne(name, root, at, d)
		if e != nil {
			warn(at, e)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	return folder, err
}

var (
	errSpecial = errors.New("it is neither file nor folder nor link")
	errLink    = errors.New("the link leads out of what is sent")
)

func (s *source) addOne(name, root, at string, d fs.DirEntry) error {
	if err := checkPath(name); err != nil {
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	e := sourceEntry{entry: entry{Path: name}, file: at}
	switch {
	case d.IsDir():
		e.Kind = "folder"
	case info.Mode().IsRegular():
		e.Modified = info.ModTime().UTC()
		e.Size = uint64(info.Size())
		e.Executable = info.Mode().Perm()&0o100 != 0
		s.offer.Files++
		s.offer.Bytes += e.Size
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(at)
		if err != nil {
			return err
		}
		e.Kind, e.Target = "link", filepath.ToSlash(target)
		if err := checkLink(e.Path, e.Target); err != nil {
			return errLink
		}
	default:
		return errSpecial
	}
	s.entries = append(s.entries, e)
	return nil
}
