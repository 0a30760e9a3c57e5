package api

import (
	"context"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// CopiesRequest asks what a space has, and who holds all of it. The answer is a
// [SpaceFiles], and a [Copy] for this device and for each mirror.
type CopiesRequest struct {
	Space string `json:"space"`
	// Verify has the mirrors that are online prove first that they have what they say.
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

// Copy is somebody who holds a space, or is to.
type Copy struct {
	Type string `json:"type"`
	Name string `json:"name"`
	// Person is whose device it is; empty for mirrors and this device.
	Person string `json:"person,omitempty"`
	// Key is that of its node; empty for this device.
	Key    string `json:"key,omitempty"`
	Mirror bool   `json:"mirror,omitempty"`
	Online bool   `json:"online"`
	// Complete says that it holds all that this device knows of; of a mirror that
	// is offline, and of other devices, it is not known.
	Complete bool `json:"complete"`
	// Verified is when a mirror last proved that it has what it says: it sent blocks that
	// were chosen at random, and they were what the writers signed. Failed is set, to when,
	// if it did not the last time.
	Verified time.Time `json:"verified,omitzero"`
	Failed   time.Time `json:"failed,omitzero"`
}

// Holding is what is known of the copy that a mirror has of a space.
type Holding struct {
	// Online says that it is connected, Complete that it has said that it holds all.
	Online, Complete bool
	// Proven and Failed are as in [Copy].
	Proven, Failed time.Time
}

// sendHeld counts what a space has, and what of it is on this device.
func sendHeld(ctx context.Context, f *spacefs.Files, s *Stream) (spacefs.Held, error) {
	held, err := f.Held(ctx)
	if err != nil {
		return held, err
	}
	return held, s.Send(TypeSpaceFiles, SpaceFiles{Type: TypeSpaceFiles, Files: held.Files, Bytes: held.Bytes, Conflicts: held.Conflicts,
		Trash: held.Trash, History: held.History, Keep: f.Policy().Everything, Version: held.Ops,
		Contents: held.Contents, TotalBytes: held.Size, Held: held.HeldContents, HeldBytes: held.HeldSize})
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
	_, err = sendHeld(ctx, f, s)
	return err
}

func (h *handler) copies(ctx context.Context, r CopiesRequest, s *Stream) error {
	sp, err := h.Spaces.Get(r.Space)
	if err != nil {
		return err
	}
	held, err := sendHeld(ctx, h.SpaceFiles.Of(sp), s)
	if err != nil {
		return err
	}
	s.Send(TypeCopy, Copy{Type: TypeCopy, Name: "this device", Online: true, Complete: held.Full()})
	members, err := sp.Members(ctx)
	if err != nil {
		return err
	}
	if err := h.sendDeviceCopies(ctx, sp, members, s); err != nil {
		return err
	}
	for _, m := range members {
		if m.Role != space.Mirror || m.Removed {
			continue
		}
		if r.Verify {
			if err := h.Prove(ctx, sp, m.Person); err != nil {
				s.Send(TypeWarning, Warning{Type: TypeWarning, Message: "not verified: " + err.Error()})
			}
		}
		x, err := h.HeldBy(ctx, sp, m.Person)
		if err != nil {
			return err
		}
		s.Send(TypeCopy, Copy{TypeCopy, m.Name, "", m.Person.String(), true, x.Online, x.Complete, x.Proven, x.Failed})
	}
	return nil
}

// sendDeviceCopies tells of the other devices that say which node they are.
func (h *handler) sendDeviceCopies(ctx context.Context, sp *space.Space, members []space.Member, s *Stream) error {
	names := make(map[hypercrypto.PublicKey]string)
	for _, m := range members {
		names[m.Person] = m.Name
	}
	devices, err := sp.Devices(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if d.Self || d.Removed || d.Node == (hypercrypto.PublicKey{}) {
			continue
		}
		s.Send(TypeCopy, Copy{Type: TypeCopy, Name: d.Name, Person: names[d.Person], Key: d.Node.String(), Online: h.Online(d.Node)})
	}
	return nil
}
