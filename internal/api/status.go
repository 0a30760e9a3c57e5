package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tradle/cloudpal/internal/space"
)

// StatusRequest asks how all spaces stand. The answer holds a [SpaceStatus] for each.
type StatusRequest struct{}

// TypeSpaceStatus is the event of [SpaceStatus].
const TypeSpaceStatus = "space-status"

// SpaceStatus is how a space stands: who holds it, what is missing, who is online.
type SpaceStatus struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Key  string `json:"key"`
	Home bool   `json:"home,omitempty"`
	// Role, Removed and Error are as in [Space].
	Role    string `json:"role,omitempty"`
	Removed bool   `json:"removed,omitempty"`
	Error   string `json:"error,omitempty"`
	// Unconfirmed counts operations whose order is not final yet. Awaited are the names of the
	// devices that confirm and are not online.
	Unconfirmed uint64   `json:"unconfirmed"`
	Awaited     []string `json:"awaited,omitempty"`
	// Files is what it has; nil where it could not be counted.
	Files *SpaceFiles `json:"files,omitempty"`
	// Full counts full copies, Present those that have at least all files as they are now,
	// and Copies are all devices and mirrors, this device first.
	Full    int    `json:"full"`
	Present int    `json:"present"`
	Copies  []Copy `json:"copies"`
	// Folders are those of this machine that are kept equal with it.
	Folders []SyncFolder `json:"folders"`
	// Warnings say what is to be done, in sentences.
	Warnings []string `json:"warnings"`
}

func (h *handler) status(ctx context.Context, _ StatusRequest, s *Stream) error {
	records, failed := h.Spaces.Records()
	for _, r := range records {
		st := SpaceStatus{Type: TypeSpaceStatus, Name: r.Name, Key: r.Key.Hex(), Home: r.Home}
		sp, err := h.Spaces.Get(r.Key.Hex())
		if failed[r.Key] != nil {
			err = failed[r.Key]
		}
		if err == nil {
			err = h.describeStatus(ctx, sp, &st)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			st.Error = err.Error()
		}
		// Lists are never null.
		st.Copies, st.Folders, st.Warnings = append([]Copy{}, st.Copies...), append([]SyncFolder{}, st.Folders...), append([]string{}, st.Warnings...)
		if err := s.Send(TypeSpaceStatus, st); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) describeStatus(ctx context.Context, sp *space.Space, st *SpaceStatus) error {
	d, err := describeSpace(ctx, sp)
	if err != nil {
		return err
	}
	st.Role, st.Removed, st.Error = d.Role, d.Removed, d.Error
	if st.Unconfirmed, err = sp.Unconfirmed(ctx); err != nil {
		return err
	}
	for _, f := range h.Folders.Status() {
		if f.Space == sp.Key() {
			st.Folders = append(st.Folders, h.describeFolder(&f))
		}
	}
	if d.Role == "" {
		return nil // it has not arrived, or is not ours any more
	}
	c, err := h.CopiesOf(ctx, sp)
	if err != nil {
		return err
	}
	st.Files, st.Copies = &c.Files, c.Copies
	st.Full, st.Present = c.Tally()
	if st.Unconfirmed > 0 {
		for _, x := range c.Copies {
			if x.Indexer && !x.Self && !x.Online {
				st.Awaited = append(st.Awaited, x.Name)
			}
		}
	}
	st.Warnings = c.Warnings(st.Name)
	return nil
}

// Warnings says what is to be done about the copies of a space, called name here.
func (c *Copies) Warnings(name string) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	_, present := c.Tally()
	if c.Files.Contents > 0 && present < 2 {
		remedy := fmt.Sprintf("add a mirror (cloudpal space add-mirror %s KEY) or another device", quoted(name))
		at := slices.IndexFunc(c.Copies, func(x Copy) bool { return x.Holds == HoldsAll || x.Holds == HoldsPresent })
		switch {
		case at < 0:
			add("nobody is known to have all files: bring a device online that has them, or %s", remedy)
		case c.Copies[at].Self:
			add("only on this device: %s", remedy)
		default:
			add("only %s has all files: %s", c.Copies[at].Name, remedy)
		}
	}
	for _, x := range c.Copies {
		if !x.Failed.IsZero() {
			add("%s did not prove that it has what it says: look at that machine, and do not count on its copy", x.Name)
		}
	}
	return list
}

// quoted makes a name fit to be typed.
func quoted(name string) string {
	if strings.ContainsAny(name, " \t'\"\\$`*?&|;<>()[]{}~#!") {
		return fmt.Sprintf("%q", name)
	}
	return name
}
