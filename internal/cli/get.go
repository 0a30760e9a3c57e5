package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

type getOptions struct {
	connectFlags
	stateFlags
	overwrite bool
}

func newGet(g *globals) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:     "get LINK[/path] [DEST]",
		GroupID: "main",
		Short:   "Fetch a drive, or a part of it, to disk",
		Long: `Get fetches a drive, a folder or a file and writes it to DEST; without DEST, to the
current folder under its own name. A file goes into DEST if that is a folder or
ends in a slash, else it is called DEST. Everything is checked against the owner's
signature before it is written, and files appear whole or not at all.

It may be interrupted at any moment: the same command goes on where it stopped.
Files that you made or changed in DEST are not replaced unless you say --overwrite.
Nothing is ever written outside of DEST.`,
		Example: `  cloudpal get hyper://LINK
  cloudpal get hyper://LINK --no-lan --no-dht --peer tcp://192.168.1.7:4100
  cloudpal get hyper://LINK/album/one.jpg
  cloudpal get hyper://LINK/album/one.jpg first.jpg
  cloudpal get hyper://LINK Photos --at 2026-03-01`,
		Args: args(1, 2),
		RunE: func(cmd *cobra.Command, a []string) error { return runGet(cmd.Context(), g, &o, a) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	o.addTimeout(f)
	o.stateFlags.add(f)
	f.BoolVar(&o.overwrite, "overwrite", false, "replace files in DEST that were made or changed there")
	return cmd
}

func runGet(ctx context.Context, g *globals, o *getOptions, a []string) error {
	t, err := target(a[0], &o.stateFlags)
	if err != nil {
		return err
	}
	r := api.GetRequest{Connect: o.connectFlags.request(), Target: t, Dest: t.Dir, DestIsParent: true, Overwrite: o.overwrite}
	if len(a) == 2 {
		r.DestIsParent = false
		if r.Dest, err = filepath.Abs(a[1]); err != nil {
			return err
		}
		if os.IsPathSeparator(a[1][len(a[1])-1]) {
			r.Dest += string(filepath.Separator) // a folder, even if it does not exist yet
		}
	}
	return g.stream(ctx, "/v1/get", r, func(e client.Event) error {
		if e.Type != api.TypeGot {
			return nil
		}
		var v api.Got
		if err := e.Decode(&v); err != nil {
			return err
		}
		if err := g.print("%s", v.Dest); err != nil || g.quiet {
			return err
		}
		g.newProgress().print("version %d: %s, %s; %d written", v.Version, count(v.Files, "file"), size(v.Bytes), v.Written)
		return nil
	})
}
