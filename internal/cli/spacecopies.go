package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newSpaceKeep(g *globals) *cobra.Command {
	var r api.KeepRequest
	cmd := &cobra.Command{
		Use:   "keep NAME",
		Short: "Keep a full copy of a space on this device",
		Long: `Keep makes this device fetch all that a space has, also the history and the trash, and
hold it from then on, whether there is a folder of it here or not. "space status" shows
how far it is. With --off the device fetches only what is used here; what it has stays.`,
		Example: `  cloudpal space keep family
  cloudpal space keep family --off`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space = a[0]
			return g.stream(cmd.Context(), "/v1/space/keep", r, g.showCopies)
		},
	}
	cmd.Flags().BoolVar(&r.Off, "off", false, "fetch only what is used here")
	return cmd
}

func newSpaceStatus(g *globals) *cobra.Command {
	var r api.CopiesRequest
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Show what a space has, and who holds how much of it",
		Long: `Status counts the files of a space, and tells of every device and every mirror what it
holds, whether it is online, and when it last proved what it has.

A full copy has all files as they are now, the deleted and older versions that are kept,
and all operations: from it alone everything comes back. A device that keeps a folder
equal has all files as they are now; of older versions it has those that it saw, unless
"space keep" makes it fetch the others, too.

What others hold is what they say while they are connected. A few times a day, and with
--verify at once, they have to prove it: they must send blocks that are chosen at random.
Of who is offline it is told what was there when it was last seen.`,
		Example: `  cloudpal space status family
  cloudpal space status family --verify`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space = a[0]
			return g.stream(cmd.Context(), "/v1/space/copies", r, g.showCopies)
		},
	}
	cmd.Flags().BoolVar(&r.Verify, "verify", false, "have the others prove now that they have what they say")
	return cmd
}

func newSpaceDevices(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "devices NAME",
		Short: "List the devices of all members of a space",
		Long: `Devices lists the devices in a space: whose they are, what that person may do, what they
hold, whether they are online, and when they were last seen from here. A device that
"confirms" takes part in settling the order of changes.`,
		Example: `  cloudpal space devices family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.stream(cmd.Context(), "/v1/space/copies", api.CopiesRequest{Space: a[0]}, func(e client.Event) error {
				var v api.Copy
				if e.Type != api.TypeCopy {
					return nil
				}
				if err := e.Decode(&v); err != nil || v.Mirror {
					return err
				}
				line := []string{plain(v.Name) + " of " + plain(v.Person), v.Role}
				if v.AlwaysOn {
					line = append(line, "always on")
				}
				if v.Indexer {
					line = append(line, "confirms")
				}
				if v.Self {
					line = append(line, "(this device)")
				}
				return g.print("%s  %s", strings.Join(line, "  "), copyState(&v))
			})
		},
	}
}

func (g *globals) showCopies(e client.Event) error {
	switch e.Type {
	case api.TypeSpaceFiles:
		var v api.SpaceFiles
		if err := e.Decode(&v); err != nil {
			return err
		}
		for _, line := range [][2]string{
			{"files", fmt.Sprintf("%d, %s", v.Files, size(v.Bytes))},
			{"conflicts", fmt.Sprint(v.Conflicts)},
			{"trash", fmt.Sprint(v.Trash)},
			{"history", count(v.History, "older version")},
			{"here", fmt.Sprintf("%s of %s", size(v.HeldBytes), size(v.TotalBytes)) + map[bool]string{true: ", everything is kept"}[v.Keep]},
		} {
			if err := g.print("%-10s %s", line[0], line[1]); err != nil {
				return err
			}
		}
	case api.TypeCopy:
		var v api.Copy
		if err := e.Decode(&v); err != nil {
			return err
		}
		word := "device"
		switch {
		case v.Mirror:
			word = "mirror"
		case v.Self:
			word = "copy"
		}
		return g.print("%-10s %s: %s", word, copyName(&v), copyState(&v))
	}
	return nil
}

// copyName says who holds a copy.
func copyName(v *api.Copy) string {
	switch {
	case v.Self:
		return "this device"
	case v.Person != "":
		return plain(v.Name) + " of " + plain(v.Person)
	}
	return plain(v.Name)
}

// copyState says what somebody holds, and what else is known of it.
func copyState(v *api.Copy) string {
	line := []string{holds(v)}
	switch {
	case v.Self || v.SameNode:
		return line[0]
	case v.Online:
		line = append(line, "online")
	case v.Seen.IsZero() && v.Key != "":
		line = append(line, "never seen from here")
	case v.Key != "":
		line = append(line, "offline, last seen "+moment(v.Seen))
	}
	if text := proof(v); text != "" {
		line = append(line, text)
	}
	if v.KeepsReleased {
		line = append(line, "keeps what was deleted")
	}
	return strings.Join(line, ", ")
}

// proof says how a copy stood up to challenges.
func proof(v *api.Copy) string {
	switch {
	case !v.Failed.IsZero():
		return "failed to prove what it has " + moment(v.Failed)
	case !v.Verified.IsZero():
		return "verified " + moment(v.Verified)
	}
	return ""
}

// holds says what somebody holds.
func holds(v *api.Copy) string {
	older, bytes := v.LacksContents-min(v.LacksContents, v.LacksFiles), v.LacksBytes-min(v.LacksBytes, v.LacksFileBytes)
	switch {
	case v.Holds == api.HoldsAll:
		return "full copy"
	case v.SameNode:
		return "the same node as another copy"
	case v.Holds == api.HoldsUnknown && v.Key == "" && !v.Self:
		return "does not say which node it is"
	case v.Holds == api.HoldsUnknown:
		return "not known what it holds"
	case v.Behind:
		return "lacks what is new since " + moment(v.Looked)
	case v.LacksFiles > 0:
		return fmt.Sprintf("lacks %s (%s)", count(v.LacksFiles, "file"), size(v.LacksFileBytes))
	case v.Holds == api.HoldsPart:
		return "lacks what is new"
	case older > 0:
		return fmt.Sprintf("all files, without %s (%s)", count(older, "older version"), size(bytes))
	}
	return "all files, without the oldest operations"
}
