package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

type seedOptions struct{ connectFlags }

func newSeed(g *globals) *cobra.Command {
	var o seedOptions
	cmd := &cobra.Command{
		Use:     "seed LINK...",
		GroupID: "main",
		Short:   "Keep a full copy of a drive and serve it to others",
		Long: `Seed fetches drives completely, with all their versions, follows what their owners
add, and serves everything to whoever asks, so that a drive can be fetched while
its owner's machine is off. It changes nothing: only the owner can.

It writes no files outside of cloudpal's own data; see "get" for that. It may be
interrupted at any moment and goes on where it stopped.`,
		Example: `  cloudpal seed hyper://LINK
  cloudpal seed Photos Notes`,
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, a []string) error { return runSeed(cmd.Context(), g, &o, a) },
	}
	o.connectFlags.add(cmd.Flags())
	return cmd
}

func runSeed(ctx context.Context, g *globals, o *seedOptions, refs []string) error {
	dir, err := here()
	if err != nil {
		return err
	}
	r := api.SeedRequest{Connect: o.connectFlags.request(), Refs: refs, Dir: dir}
	return interrupted(ctx, g.stream(ctx, "/v1/seed", r, func(e client.Event) error {
		if e.Type != api.TypeSeeding {
			return nil
		}
		var v api.Seeding
		if err := e.Decode(&v); err != nil {
			return err
		}
		state := size(v.Held) + " of " + size(v.Bytes)
		if v.Complete {
			state = "complete, " + size(v.Bytes)
		}
		return g.print("%s  version %d  %s  %s", v.Link, v.Version, state, count(uint64(v.Peers), "peer"))
	}))
}
