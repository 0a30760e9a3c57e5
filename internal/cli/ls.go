package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

type lsOptions struct {
	connectFlags
	stateFlags
	recursive bool
}

func newLs(g *globals) *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:     "ls LINK[/path]",
		GroupID: "look",
		Short:   "List a folder of a drive",
		Long: `Ls lists what a folder of a drive holds: d for folders, x for executable files, l
for symbolic links, - for other files, with size and time of modification.`,
		Example: `  cloudpal ls hyper://LINK
  cloudpal ls photos/2026 --recursive
  cloudpal ls photos --at 36h
  cloudpal ls family:photos`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error { return runLs(cmd.Context(), g, &o, a[0]) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	o.addTimeout(f)
	o.stateFlags.add(f)
	f.BoolVarP(&o.recursive, "recursive", "r", false, "list everything below")
	return cmd
}

func runLs(ctx context.Context, g *globals, o *lsOptions, ref string) error {
	t, err := target(ref, &o.stateFlags)
	if err != nil {
		return err
	}
	r := api.ListRequest{Connect: o.connectFlags.request(), Target: t, Recursive: o.recursive}
	return g.stream(ctx, "/v1/list", r, func(e client.Event) error {
		if e.Type != api.TypeEntry {
			return nil
		}
		var v api.Entry
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.print("%s", entryLine(&v))
	})
}

func entryLine(v *api.Entry) string {
	kind, bytes, name := "-", size(v.Size), plain(v.Path)
	switch {
	case v.Kind == "folder":
		kind, bytes, name = "d", "", name+"/"
	case v.Kind == "symlink":
		kind, bytes, name = "l", "", name+" -> "+plain(v.Linkname)
	case v.Executable:
		kind = "x"
	}
	return fmt.Sprintf("%s %10s  %-19s  %s", kind, bytes, moment(v.Modified), name)
}
