package cli

import (
	"fmt"

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
		Short: "Show what a space has, and who holds a full copy of it",
		Long: `Status counts the files of a space, tells whether this device and the mirrors hold all
of it, and which other devices are online. What a mirror holds is what it says itself, as
long as it is connected. A few times a day, and with --verify at once, it has to prove
that: it must send blocks that are chosen at random. Status tells when it last did.`,
		Example: `  cloudpal space status family
  cloudpal space status family --verify`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space = a[0]
			return g.stream(cmd.Context(), "/v1/space/copies", r, g.showCopies)
		},
	}
	cmd.Flags().BoolVar(&r.Verify, "verify", false, "have the mirrors prove now that they have what they say")
	return cmd
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
		state := "full copy"
		switch {
		case !v.Online:
			state = "offline"
		case v.Person != "":
			state = "online"
		case !v.Complete:
			state = "not complete"
		}
		switch {
		case !v.Failed.IsZero():
			state += ", failed to prove what it has " + moment(v.Failed)
		case !v.Verified.IsZero():
			state += ", verified " + moment(v.Verified)
		}
		word, name := "copy", plain(v.Name)
		switch {
		case v.Mirror:
			word = "mirror"
		case v.Person != "":
			word, name = "device", name+" of "+plain(v.Person)
		}
		return g.print("%-10s %s: %s", word, name, state)
	}
	return nil
}
