package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
)

type diffOptions struct {
	connectFlags
	stateFlags
	from         uint64
	fromAt       string
	fromSnapshot string
}

func newDiff(g *globals) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:     "diff LINK[/path]",
		GroupID: "look",
		Short:   "Compare two versions of a drive",
		Long: `Diff lists what was added (+), changed (~) and removed (-) from an older version to
the newest, or to the one that --version, --at or --snapshot picks. Without --from it compares
with the version before.`,
		Example: `  cloudpal diff photos
  cloudpal diff photos --from 12 --version 20
  cloudpal diff hyper://LINK/docs --from-at 2026-03-01
  cloudpal diff ~/Cloud --from-snapshot before-the-move`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error { return runDiff(cmd.Context(), g, &o, a[0]) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	o.addTimeout(f)
	o.stateFlags.add(f)
	f.Uint64Var(&o.from, "from", 0, "the older version, by its number `N`")
	f.StringVar(&o.fromAt, "from-at", "", "the older version, by `TIME`")
	f.StringVar(&o.fromSnapshot, "from-snapshot", "", "the older version, by the `NAME` of a snapshot")
	cmd.MarkFlagsMutuallyExclusive("from", "from-at", "from-snapshot")
	return cmd
}

func runDiff(ctx context.Context, g *globals, o *diffOptions, ref string) error {
	t, err := target(ref, &o.stateFlags)
	if err != nil {
		return err
	}
	r := api.DiffRequest{Connect: o.connectFlags.request(), Target: t, From: api.State{Version: o.from, Snapshot: o.fromSnapshot}}
	if o.fromAt != "" {
		if r.From.At, err = parseTime(o.fromAt, time.Now()); err != nil {
			return err
		}
	}
	return g.stream(ctx, "/v1/diff", r, g.showChange)
}
