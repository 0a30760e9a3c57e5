package api

import (
	"context"
	"fmt"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/folders"
	"github.com/tradle/cloudpal/internal/foldersync"
	"github.com/tradle/cloudpal/internal/space"
)

// SyncRequest keeps a folder of this machine equal with a space from now on. The answer
// holds a [SyncFolder] for each change of its state. Where a node is up, which keeps all
// folders equal, it ends when the two are equal, unless Follow is set; otherwise the
// request keeps them equal for as long as it lasts.
type SyncRequest struct {
	Connect
	// Dir is the absolute path of the folder, which is made if it does not exist.
	Dir string `json:"dir"`
	// Space is the name of the space.
	Space string `json:"space"`
	// Only are the paths of the space that are kept in the folder; none are all.
	Only []string `json:"only,omitempty"`
	// MaxSize is the size of the largest files that are kept in the folder; 0 is any.
	MaxSize uint64 `json:"maxSize,omitempty"`
	// Ignore holds patterns in the syntax of .gitignore.
	Ignore []string `json:"ignore,omitempty"`
	// MinFree is how many bytes of the disk stay free.
	MinFree uint64 `json:"minFree,omitempty"`
	Follow  bool   `json:"follow,omitempty"`
}

// SyncFoldersRequest lists the folders that are kept equal with spaces. The answer holds
// a [SyncFolder] for each.
type SyncFoldersRequest struct{}

// StopSyncRequest stops keeping a folder equal. What is in it stays.
type StopSyncRequest struct {
	Dir string `json:"dir"`
}

// AnswerSyncRequest answers a folder in the state "asking".
type AnswerSyncRequest struct {
	Dir string `json:"dir"`
	// Adopt takes what is there now for the folder; otherwise what is gone is meant to be.
	Adopt bool `json:"adopt,omitempty"`
}

// TypeSyncFolder is the event of [SyncFolder].
const TypeSyncFolder = "folder"

// SyncFolder is a folder that is kept equal with a space.
type SyncFolder struct {
	Type  string   `json:"type"`
	Dir   string   `json:"dir"`
	Space string   `json:"space"`
	Only  []string `json:"only,omitempty"`
	// State is "idle", "scanning", "sending", "writing", "full", "asking", or "stopped"
	// while nothing keeps the folder equal. Reason says why it is full, asks or stopped, or,
	// idle, why it is not equal.
	State  string   `json:"state"`
	Reason string   `json:"reason,omitempty"`
	Hints  []string `json:"hints,omitempty"`
	// Files counts files, folders and links that are equal on both sides, Pending what
	// is still to be written, Waiting what changed on disk and is not quiet yet.
	Files   int `json:"files"`
	Pending int `json:"pending"`
	Waiting int `json:"waiting"`
	// What was done since the node runs.
	Committed    uint64 `json:"committed"`
	Written      uint64 `json:"written"`
	Removed      uint64 `json:"removed"`
	SentBytes    uint64 `json:"sentBytes"`
	WrittenBytes uint64 `json:"writtenBytes"`
	// Watching says that the system tells of changes at once.
	Watching bool          `json:"watching"`
	LastScan time.Time     `json:"lastScan,omitzero"`
	Problems []SyncProblem `json:"problems,omitempty"`
}

// SyncProblem is something in a folder that could not be kept equal, and will be tried
// again.
type SyncProblem struct {
	Path    string   `json:"path"`
	Message string   `json:"message"`
	Hints   []string `json:"hints,omitempty"`
}

// maxProblems limits those that are listed of a folder.
const maxProblems = 100

func (h *handler) describeFolder(f *folders.Status) SyncFolder {
	out := SyncFolder{Type: TypeSyncFolder, Dir: f.Dir, Space: f.Space.Hex(), Only: f.Only, State: "stopped"}
	if sp, err := h.Spaces.Get(f.Space.Hex()); err == nil {
		out.Space = sp.Name()
	}
	if f.Err != nil {
		out.Reason, out.Hints = f.Err.Error(), fault.HintsOf(f.Err)
	}
	if !f.Running {
		return out
	}
	st := f.Status
	out.State, out.Reason, out.Hints = string(st.State), st.Reason, st.Hints
	out.Files, out.Pending, out.Waiting = st.Files, st.Pending, st.Waiting
	out.Committed, out.Written, out.Removed, out.SentBytes, out.WrittenBytes = st.Committed+st.Moved, st.Written, st.Removed, st.SentBytes, st.WrittenBytes
	out.Watching, out.LastScan = st.Watching, st.LastScan
	for _, p := range st.Problems[:min(len(st.Problems), maxProblems)] {
		out.Problems = append(out.Problems, SyncProblem{p.Path, p.Text, p.Hints})
	}
	return out
}

func (h *handler) syncFolders(_ context.Context, _ SyncFoldersRequest, s *Stream) error {
	for _, f := range h.Folders.Status() {
		s.Send(TypeSyncFolder, h.describeFolder(&f))
	}
	return nil
}

func (h *handler) sync(ctx context.Context, r SyncRequest, s *Stream) error {
	sp, err := h.spaceNamed(ctx, r.Space)
	if err != nil {
		return err
	}
	rec, err := h.Folders.Set(ctx, folders.Record{Dir: r.Dir, Space: sp.Key(), Only: r.Only, MaxSize: r.MaxSize, Ignore: r.Ignore, MinFree: r.MinFree})
	if err != nil {
		return err
	}
	if h.Folders.Running() {
		return h.followFolder(ctx, rec.Dir, !r.Follow, s)
	}
	leave, err := h.online(ctx, r.Connect, s)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- h.Folders.Run(ctx) }()
	err = h.followFolder(ctx, rec.Dir, false, s)
	cancel()
	<-ran
	return err
}

// spaceNamed returns a space by its name. The home is made when it is first wanted.
func (h *handler) spaceNamed(ctx context.Context, name string) (*space.Space, error) {
	sp, err := h.Spaces.Get(name)
	if fault.KindOf(err) == fault.NotFound && err != nil && name == HomeName {
		return h.home(ctx)
	}
	return sp, err
}

// followEvery is how often counts are looked at, which change without a change of state.
const followEvery = time.Second

// followFolder reports a folder whenever its state changes, until it is equal if that is
// asked for.
func (h *handler) followFolder(ctx context.Context, dir string, untilEqual bool, s *Stream) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var last string
	for {
		changed := h.Folders.Changed()
		for _, f := range h.Folders.Status() {
			if f.Dir != dir {
				continue
			}
			now := h.describeFolder(&f)
			if text := folderText(&now); text != last {
				last = text
				if err := s.Send(TypeSyncFolder, now); err != nil {
					return err
				}
			}
			idle := f.Running && now.State == string(foldersync.StateIdle) && !now.LastScan.IsZero()
			switch {
			case !untilEqual:
			case idle && now.Reason == "" && now.Pending == 0 && now.Waiting == 0, f.Running && now.State == string(foldersync.StateAsking):
				return nil
			case idle && now.Reason != "" && h.readOnly(ctx, f.Space):
				return nil // it does not become equal
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readOnly tells whether this device only reads a space, or was removed from it.
func (h *handler) readOnly(ctx context.Context, key hypercrypto.Key) bool {
	sp, err := h.Spaces.Get(key.Hex())
	if err != nil {
		return false
	}
	st, err := sp.Status(ctx)
	return err == nil && st.Role == space.Viewer
}

// folderText is equal for states that a person sees as one. When the folder was looked at
// last makes no difference, but whether it ever was.
func folderText(f *SyncFolder) string {
	same := *f
	same.LastScan = time.Time{}
	return fmt.Sprintf("%+v %t", same, f.LastScan.IsZero())
}

func (h *handler) stopSync(ctx context.Context, r StopSyncRequest, _ *Stream) error {
	return h.Folders.Remove(ctx, r.Dir)
}

func (h *handler) answerSync(ctx context.Context, r AnswerSyncRequest, _ *Stream) error {
	if r.Adopt {
		return h.Folders.Adopt(ctx, r.Dir)
	}
	return h.Folders.Confirm(r.Dir)
}
