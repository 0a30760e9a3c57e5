package cli

import (
	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newSpaceLink(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "link NAME",
		Short: "Print the link of a space, to keep it with your phrase",
		Long: `Link prints a secret with which who has it can read the space. Keep that of "home" with
your recovery phrase: with both you come back when all your devices are lost and a
mirror, or somebody else, has the spaces.`,
		Example: `  cloudpal space link home`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.stream(cmd.Context(), "/v1/space/link", api.SpaceLinkRequest{Space: a[0]}, func(e client.Event) error {
				var v api.SpaceLink
				if e.Type != api.TypeSpaceLink {
					return nil
				}
				if err := e.Decode(&v); err != nil {
					return err
				}
				return g.print("%s", v.Link)
			})
		},
	}
}

func newSpaceOpen(g *globals) *cobra.Command {
	var r api.OpenSpaceRequest
	cmd := &cobra.Command{
		Use:   "open LINK",
		Short: "Open a space by its link",
		Long: `Open opens a space by the link that "space link" printed. If you are a member this device
becomes one of yours in it, as soon as one that confirms is online; otherwise it only
reads.`,
		Example: `  cloudpal space open cloudpal://space/… --home`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Link = a[0]
			return g.stream(cmd.Context(), "/v1/space/open", r, g.showSpace)
		},
	}
	cmd.Flags().StringVar(&r.Name, "name", "", "what the space is called here (default: as where the link was made)")
	cmd.Flags().BoolVar(&r.Home, "home", false, "it is the space of all your devices")
	return cmd
}

func newSpaceRecover(g *globals) *cobra.Command {
	var o connectFlags
	var lost []string
	cmd := &cobra.Command{
		Use:   "recover NAME",
		Short: "Go on with a space whose devices are lost, by your phrase",
		Long: `A space goes on as long as the devices that confirm its changes come back, see "space
members". If they are gone for good an owner makes this device the one that confirms, by
the recovery phrase. First it takes in what other devices and mirrors have.

Devices that still confirm must not go on by themselves: the two parts would stay apart.
Without a terminal the phrase is the first line of standard input.`,
		Example: `  cloudpal identity restore
  cloudpal space open cloudpal://space/… --home
  cloudpal space recover home --lost laptop`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			phrase, err := g.visibleSecret(cmd.Context(), "Recovery phrase: ")
			if err != nil {
				return err
			}
			return g.stream(cmd.Context(), "/v1/space/recover", api.RecoverSpaceRequest{Connect: o.request(), Space: a[0], Phrase: phrase, Lost: lost}, g.showSpace)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&lost, "lost", nil, "the device of this `NAME` does not come back: remove it (repeatable)")
	o.add(f)
	f.DurationVar(&o.timeout, "timeout", 0, "give up after this `DURATION`; 0 is never")
	return cmd
}
