package foldersync

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/files/ignore"
	"github.com/tradle/cloudpal/internal/filetree"
)

// Options configures Open. The zero value is ready to use.
type Options struct {
	// Selection limits what of the tree is in the folder.
	Selection Selection
	// Ignore holds patterns beside those of the ignore file, which they overrule.
	Ignore []string
	// Exclude are paths on disk that stay out if they lie in the folder.
	Exclude []string
	// MinFree is how many bytes of the disk stay free: contents that would take
	// them are not written until there is space again.
	MinFree uint64
	// Workers is how many files are read, or written, at the same time. Default 4.
	Workers int
	// Rescan is how often everything is looked at, beside what the system tells.
	// Default 10 minutes, or 30 seconds where the system cannot watch the folder.
	Rescan time.Duration
	// MaxDeletes stops the folder, with StateAsking, when one scan finds more files gone
	// than this. 0: only when all are gone.
	MaxDeletes int
	// Patience is how long a content may bring nothing before it is given up for now,
	// because nobody who has it can be reached. Default 20 seconds.
	Patience time.Duration
	// OnEvent, if set, is told what happens. It must return soon and may be called
	// at the same time by several goroutines.
	OnEvent func(Event)
	// Log receives details; nil discards them.
	Log *slog.Logger
}

// Selection says what of a tree is kept on disk. What is outside is neither written nor
// deleted.
type Selection struct {
	// Folders are the paths in the tree that are kept, with all below them. None: all.
	Folders []string
	// MaxSize is the size of the largest files that are kept, in bytes. 0: any.
	MaxSize uint64
}

func (o *Options) withDefaults() (Options, error) {
	c := Options{}
	if o != nil {
		c = *o
	}
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, c.Check()
}

// Check tells whether a folder can have these options.
func (o *Options) Check() error {
	for _, p := range o.Selection.Folders {
		if filetree.CheckPath(p) != nil {
			return fault.New(fault.Usage, "%q is no path in the tree", p).Hint("paths are relative, with slashes: a/b")
		}
	}
	if err := new(ignore.List).Add("--ignore", strings.Join(o.Ignore, "\n")); err != nil {
		return fault.Wrap(fault.Usage, err)
	}
	return nil
}

// everything tells whether nothing is outside.
func (s *Selection) everything() bool { return len(s.Folders) == 0 && s.MaxSize == 0 }

// String names the selection: two are the same if their names are.
func (s *Selection) String() string {
	return fmt.Sprintf("%d\x00%s", s.MaxSize, strings.Join(slices.Sorted(slices.Values(s.Folders)), "\x00"))
}

// covers tells whether something at a path belongs to the folder. Folders above those
// that are selected do.
func (s *Selection) covers(path string, dir bool, size uint64) bool {
	if s.MaxSize > 0 && !dir && size > s.MaxSize {
		return false
	}
	if len(s.Folders) == 0 {
		return true
	}
	for _, f := range s.Folders {
		if below(path, f) || dir && below(f, path) {
			return true
		}
	}
	return false
}
