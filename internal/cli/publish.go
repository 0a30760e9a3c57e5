package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newPublish(g *globals) *cobra.Command {
	var stop, list bool
	cmd := &cobra.Command{
		Use:     "publish PATH|SPACE[:path]",
		GroupID: "main",
		Short:   "Let everybody who has a link read a folder of a space",
		Long: `Publish makes a read-only drive of a folder of a space and prints its link. PATH is the
folder where "sync" keeps it, on this machine. Whoever has
the link can fetch it with "get", "serve" it, or open it with any program for Hyperdrive.
This device keeps the drive up to date, and serves it while "cloudpal up" runs. It is not
encrypted, and has no history.`,
		Example: `  cloudpal publish ~/Cloud/recipes
  cloudpal publish family:photos/wedding
  cloudpal publish family --list
  cloudpal publish family:photos/wedding --stop`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.publish(cmd.Context(), api.PublishRequest{Space: a[0], Start: !stop && !list, Stop: stop})
		},
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "publish it no longer")
	cmd.Flags().BoolVar(&list, "list", false, "list what this device publishes of the space")
	cmd.MarkFlagsMutuallyExclusive("stop", "list")
	return cmd
}

func (g *globals) publish(ctx context.Context, r api.PublishRequest) (err error) {
	if r.Dir, err = here(); err != nil {
		return err
	}
	return g.stream(ctx, "/v1/space/publish", r, func(e client.Event) error {
		if e.Type != api.TypePublished {
			return nil
		}
		var v api.Published
		if err := e.Decode(&v); err != nil {
			return err
		}
		if r.Start {
			return g.print("%s", v.Link)
		}
		path := v.Path
		if path == "" {
			path = "everything"
		}
		if err := g.print("%s  %s", v.Link, plain(path)); err != nil || v.Problem == "" {
			return err
		}
		return g.print("  %s", plain(v.Problem))
	})
}
