package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

// showSpaces shows how all spaces stand.
func (g *globals) showSpaces(ctx context.Context, c *client.Client) error {
	var list []api.SpaceStatus
	for e, err := range c.Events(ctx, "/v1/status", api.StatusRequest{}) {
		if err != nil {
			return err
		}
		if e.Type != api.TypeSpaceStatus {
			continue
		}
		if g.json {
			if _, err := fmt.Fprintf(g.stdout, "%s\n", e.Data); err != nil {
				return err
			}
			continue
		}
		var v api.SpaceStatus
		if err := e.Decode(&v); err != nil {
			return err
		}
		list = append(list, v)
	}
	if g.json {
		return nil
	}
	if err := g.print("spaces %d", len(list)); err != nil {
		return err
	}
	for i := range list {
		for _, line := range spaceStatusLines(&list[i]) {
			if err := g.print("  %s", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// spaceStatusLines describes how a space stands. All lines but the first are indented.
func spaceStatusLines(v *api.SpaceStatus) (lines []string) {
	first := spaceLine(&api.Space{Name: v.Name, Role: v.Role, Removed: v.Removed, Error: v.Error})
	if len(v.Copies) > 0 {
		first += "  " + copiesText(v)
	}
	lines = append(lines, first)
	add := func(word, text string) { lines = append(lines, fmt.Sprintf("  %-8s %s", word, text)) }
	var online []string
	for i := range v.Copies {
		x := &v.Copies[i]
		if x.Online && !x.Self {
			online = append(online, copyName(x))
		}
		if x.Holds != api.HoldsAll {
			add("partly", copyName(x)+": "+copyState(x))
		}
	}
	if len(online) > 0 {
		add("online", strings.Join(online, ", "))
	}
	for i := range v.Folders {
		f := &v.Folders[i]
		text := folderState(f)
		if f.State == "stopped" && f.Reason == "" {
			text = "nothing keeps it equal: run cloudpal up"
		}
		add("folder", plain(f.Dir)+"  "+text)
	}
	if v.Unconfirmed > 0 {
		text := count(v.Unconfirmed, "operation") + " not confirmed yet"
		if len(v.Awaited) > 0 {
			text += ", away: " + plain(strings.Join(v.Awaited, ", "))
		}
		add("waits", text)
	}
	for _, w := range v.Warnings {
		add("warning", plain(w))
	}
	return lines
}

// copiesText says how many full copies there are, and where.
func copiesText(v *api.SpaceStatus) string {
	var where []string
	for i := range v.Copies {
		x := &v.Copies[i]
		if x.Holds != api.HoldsAll {
			continue
		}
		var about []string
		if !x.Self && !x.Online {
			about = append(about, "offline")
		}
		if p := proof(x); p != "" {
			about = append(about, p)
		}
		name := copyName(x)
		if len(about) > 0 {
			name += " (" + strings.Join(about, ", ") + ")"
		}
		where = append(where, name)
	}
	text := fmt.Sprintf("%d of %d full copies", v.Full, len(v.Copies))
	if len(v.Copies) == 1 {
		text = fmt.Sprintf("%d of 1 full copy", v.Full)
	}
	if len(where) > 0 {
		text += ": " + strings.Join(where, ", ")
	}
	return text
}
