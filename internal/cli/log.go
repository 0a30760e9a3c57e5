package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

type logOptions struct {
	connectFlags
	stateFlags
	limit uint64
}

func newLog(g *globals) *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:     "log LINK[/path]",
		GroupID: "look",
		Short:   "List the versions of a drive: who changed what, and when",
		Long: `Log lists the versions of a drive, newest first, with what each added (+), changed
(~) and removed (-). With a path only versions that changed it are listed. Every
version can be read with --version and brought back with "cloudpal restore".

A change of many files is one version, whose number is that of its last part, so
that numbers are left out.`,
		Example: `  cloudpal log photos
  cloudpal log hyper://LINK/notes.txt --limit 10
  cloudpal log ~/Cloud/report.txt`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error { return runLog(cmd.Context(), g, &o, a[0]) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	o.addTimeout(f)
	o.stateFlags.add(f)
	f.Uint64VarP(&o.limit, "limit", "n", 0, "list at most `N` versions")
	return cmd
}

func runLog(ctx context.Context, g *globals, o *logOptions, ref string) error {
	t, err := target(ref, &o.stateFlags)
	if err != nil {
		return err
	}
	r := api.HistoryRequest{Connect: o.connectFlags.request(), Target: t, Limit: o.limit}
	return g.stream(ctx, "/v1/history", r, func(e client.Event) error {
		if e.Type != api.TypeVersion {
			return nil
		}
		var v api.Version
		if err := e.Decode(&v); err != nil {
			return err
		}
		author := ""
		if v.Device != "" {
			author = "  on " + plain(v.Device)
		} else if v.Author != "" {
			author = "  by " + v.Author[:min(len(v.Author), 12)]
		}
		if err := g.print("version %d  %s%s", v.Version, moment(v.Time), author); err != nil {
			return err
		}
		for i := range v.Changes {
			if err := g.print("  %s", changeLine(&v.Changes[i])); err != nil {
				return err
			}
		}
		if v.Omitted > 0 {
			return g.print("  and %s more", count(v.Omitted, "change"))
		}
		return nil
	})
}
