package api

import (
	"context"
	"time"

	"github.com/tradle/cloudpal/internal/space"
)

// CopiesRequest asks what a space has, and who holds how much of it. The answer is a
// [SpaceFiles], and a [Copy] for each device and each mirror.
type CopiesRequest struct {
	Space string `json:"space"`
	// Verify has the others that are online prove first that they have what they say.
	Verify bool `json:"verify,omitempty"`
}

// KeepRequest says whether this device is to keep a full copy of a space. The answer holds
// a [SpaceFiles], of what is here so far.
type KeepRequest struct {
	Space string `json:"space"`
	// Off keeps from now on only what is used here. What is held stays.
	Off bool `json:"off,omitempty"`
}

// The names of the events about copies.
const (
	TypeSpaceFiles = "files"
	TypeCopy       = "copy"
)

// SpaceFiles counts the files of a space.
type SpaceFiles struct {
	Type  string `json:"type"`
	Files uint64 `json:"files"`
	// Bytes is the size of all files.
	Bytes     uint64 `json:"bytes"`
	Conflicts uint64 `json:"conflicts"`
	// Trash counts what was deleted and can be restored, History versions that were
	// replaced and are kept.
	Trash   uint64 `json:"trash"`
	History uint64 `json:"history"`
	// Keep says that this device fetches everything.
	Keep bool `json:"keep"`
	// Version is the number of operations.
	Version uint64 `json:"version"`
	// Contents counts different contents, in files, trash and history, and TotalBytes their
	// size; Held what of that is on this device.
	Contents   uint64 `json:"contents"`
	TotalBytes uint64 `json:"totalBytes"`
	Held       uint64 `json:"held"`
	HeldBytes  uint64 `json:"heldBytes"`
}

// What somebody holds of a space.
const (
	// HoldsAll is a full copy: all files that are there now, the deleted and older versions
	// that are kept, and all operations. From it alone everything comes back.
	HoldsAll = "all"
	// HoldsPresent is all files as they are now.
	HoldsPresent = "present"
	// HoldsPart is less.
	HoldsPart = "part"
	// HoldsUnknown is what this device does not know of.
	HoldsUnknown = "unknown"
)

// Copy is somebody who holds a space, or is to: a device or a mirror.
type Copy struct {
	Type string `json:"type"`
	Name string `json:"name"`
	// Person is whose device it is, and Role what that person may do; a mirror has the
	// role "mirror".
	Person string `json:"person,omitempty"`
	Role   string `json:"role,omitempty"`
	// Key is that of its node, by which it connects; empty for this device, and for one
	// that does not say it.
	Key string `json:"key,omitempty"`
	// SameNode says that another copy is of the same node, which is counted there.
	SameNode bool `json:"sameNode,omitempty"`
	// Log is the key of a device's log.
	Log    string `json:"log,omitempty"`
	Self   bool   `json:"self,omitempty"`
	Mirror bool   `json:"mirror,omitempty"`
	// AlwaysOn and Indexer are as in [Device].
	AlwaysOn bool `json:"alwaysOn,omitempty"`
	Indexer  bool `json:"indexer,omitempty"`
	Online   bool `json:"online"`
	// Seen is when it was last connected to this device.
	Seen time.Time `json:"seen,omitzero"`
	// Holds is "all", "present", "part" or "unknown", as it said itself when it was last
	// looked at, Looked. Of one that is offline it is what it had then, if nothing was written
	// since, and else "part".
	Holds  string    `json:"holds"`
	Looked time.Time `json:"looked,omitzero"`
	// Complete says that it holds all.
	Complete bool `json:"complete"`
	// KeepsReleased says that a mirror cannot drop single blocks: what was deleted for good
	// stays there, encrypted.
	KeepsReleased bool `json:"keepsReleased,omitempty"`
	// What it lacked then: contents and their bytes, those of them that are files now, and
	// blocks of the logs of operations and state.
	LacksContents   uint64 `json:"lacksContents,omitempty"`
	LacksBytes      uint64 `json:"lacksBytes,omitempty"`
	LacksFiles      uint64 `json:"lacksFiles,omitempty"`
	LacksFileBytes  uint64 `json:"lacksFileBytes,omitempty"`
	LacksOperations uint64 `json:"lacksOperations,omitempty"`
	// Behind says that it lacks changes that were made since it was last looked at.
	Behind bool `json:"behind,omitempty"`
	// Verified is when it last proved that it has what it says: it sent blocks that were
	// chosen at random, and they were what the writers signed. Failed is set, to when, if it
	// did not the last time.
	Verified time.Time `json:"verified,omitzero"`
	Failed   time.Time `json:"failed,omitzero"`
}

// Copies is what a space has, and who holds how much of it. This device is the first.
type Copies struct {
	Files  SpaceFiles
	Copies []Copy
}

// Tally counts how many there are who hold all, and who hold at least all present files.
func (c *Copies) Tally() (full, present int) {
	for _, x := range c.Copies {
		switch x.Holds {
		case HoldsAll:
			full++
			present++
		case HoldsPresent:
			present++
		}
	}
	return full, present
}

func (h *handler) keepSpace(ctx context.Context, r KeepRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	f := h.SpaceFiles.Of(sp)
	p := f.Policy()
	p.Everything = !r.Off
	if err := f.SetPolicy(p); err != nil {
		return err
	}
	c, err := h.CopiesOf(ctx, sp)
	if err != nil {
		return err
	}
	return s.Send(TypeSpaceFiles, c.Files)
}

func (h *handler) copies(ctx context.Context, r CopiesRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	if r.Verify {
		if err := h.verify(ctx, sp, s); err != nil {
			return err
		}
	}
	c, err := h.CopiesOf(ctx, sp)
	if err != nil {
		return err
	}
	s.Send(TypeSpaceFiles, c.Files)
	for _, x := range c.Copies {
		s.Send(TypeCopy, x)
	}
	return nil
}

// verify has all others who say which node they are prove what they have.
func (h *handler) verify(ctx context.Context, sp *space.Space, s *Stream) error {
	nodes, err := h.Holders(ctx, sp)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := h.Prove(ctx, sp, n); err != nil {
			s.Send(TypeWarning, Warning{Type: TypeWarning, Message: "not verified: " + err.Error()})
		}
	}
	return ctx.Err()
}
