package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

type serveOptions struct {
	connectFlags
	addr string
	all  bool
}

func newServe(g *globals) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:     "serve LINK... | --all",
		GroupID: "main",
		Short:   "Show drives in a web browser",
		Long: `Serve answers web browsers with the files of drives: with ranges for seeking in
films, with content types, and with a list where a folder has no index.html. What
is not on this machine is fetched from peers as it is asked for.

It listens on this machine only unless --http names another address. Whoever can
reach that address can read what is served.`,
		Example: `  cloudpal serve hyper://LINK
  cloudpal serve --all --http 127.0.0.1:8080`,
		Args: args(0, -1),
		RunE: func(cmd *cobra.Command, a []string) error { return runServe(cmd.Context(), g, &o, a) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	f.StringVar(&o.addr, "http", "127.0.0.1:8080", "answer at this `HOST:PORT`; port 0 picks a free one")
	f.BoolVar(&o.all, "all", false, "serve every drive that this machine knows")
	return cmd
}

func runServe(ctx context.Context, g *globals, o *serveOptions, refs []string) error {
	if o.all == (len(refs) > 0) {
		return fault.New(fault.Usage, "name the drives to serve, or say --all").Hint("cloudpal serve --all")
	}
	dir, err := here()
	if err != nil {
		return err
	}
	r := api.ServeRequest{Connect: o.connectFlags.request(), Addr: o.addr, Refs: refs, Dir: dir, All: o.all}
	return interrupted(ctx, g.stream(ctx, "/v1/serve", r, func(e client.Event) error {
		if e.Type != api.TypeServing {
			return nil
		}
		var v api.Serving
		if err := e.Decode(&v); err != nil {
			return err
		}
		if err := g.print("%s", v.URL); err != nil || g.quiet {
			return err
		}
		g.newProgress().print("serving; press Ctrl-C to stop")
		return nil
	}))
}
