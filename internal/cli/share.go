package cli

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

type shareOptions struct {
	connectFlags
	name      string
	encrypted bool
	once      bool
	dryRun    bool
	ignore    []string
}

func newShare(g *globals) *cobra.Command {
	var o shareOptions
	cmd := &cobra.Command{
		Use:     "share PATH",
		GroupID: "main",
		Short:   "Share a file or folder, and keep it up to date",
		Long: `Share imports a file or folder, prints its link and goes on serving it. Changes on
disk become new versions while it runs; the old ones are kept. Sharing the same
path again continues the same drive: only what changed is imported.

What stays out is said by a file .cloudpalignore in the folder, in the syntax of
.gitignore. The executable bit and symbolic links are kept.

Whoever has the link finds this machine, in the same network at once, and from
elsewhere through the DHT; see "cloudpal net doctor" for what works from here, and
--no-lan, --no-dht and --relay-only for more privacy. Peers can also name an address
of this machine: say --listen tcp://0.0.0.0:4100 to let others in there.

Everyone who has the link can read. With --encrypted what is stored and sent is
ciphertext, and the link carries the key.`,
		Example: `  cloudpal share Photos
  cloudpal share Photos --no-dht      with this network only
  cloudpal share Photos --no-lan --no-dht --listen tcp://0.0.0.0:4100
  cloudpal share Notes --encrypted --name notes
  cloudpal share Photos --once        import only, then stop`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error { return runShare(cmd.Context(), g, &o, a[0]) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	f.StringVar(&o.name, "name", "", "the `NAME` of the drive on this machine (default: the last part of PATH)")
	f.BoolVar(&o.encrypted, "encrypted", false, "encrypt a new drive; the link carries the key")
	f.BoolVar(&o.once, "once", false, "import and stop")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would change")
	f.StringArrayVar(&o.ignore, "ignore", nil, "leave out what this `PATTERN` matches, in the syntax of .gitignore (repeatable)")
	return cmd
}

func runShare(ctx context.Context, g *globals, o *shareOptions, path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	r := api.ShareRequest{
		Connect: o.request(), Path: abs, Name: o.name, Encrypted: o.encrypted,
		Ignore: o.ignore, Once: o.once, DryRun: o.dryRun,
	}
	r.AnyListener = !o.once && !o.dryRun
	shared := false
	err = g.streamAll(ctx, "/v1/share", r, func(e client.Event) error {
		shared = shared || e.Type == api.TypeShared
		if g.json {
			return nil
		}
		return g.showShare(e, o.once, r.Swarm != nil || r.LAN != nil)
	})
	if o.once || o.dryRun || !shared {
		return err
	}
	return interrupted(ctx, err)
}

func (g *globals) showShare(e client.Event, once, findable bool) error {
	switch e.Type {
	case api.TypeShared:
		var v api.Shared
		if err := e.Decode(&v); err != nil {
			return err
		}
		if err := g.print("%s", v.Link); err != nil || g.quiet {
			return err
		}
		showShared(g.newProgress(), &v, once, findable)
	case api.TypeUpdated:
		var v api.Updated
		if err := e.Decode(&v); err != nil {
			return err
		}
		if !g.quiet {
			g.newProgress().print("version %d: %s", v.Version, updateText(&v))
		}
	case api.TypeChange:
		return g.showChange(e)
	}
	return nil
}

// showShared tells how to fetch what is shared.
func showShared(p *progress, v *api.Shared, once, findable bool) {
	if once || len(v.Listen) == 0 {
		p.print("imported; peers can fetch it while \"cloudpal share\" runs without --once")
		return
	}
	if findable {
		p.print("fetch it on another machine with:")
		p.print("  cloudpal get %s", fault.Word(v.Link))
		p.print("sharing and following changes; press Ctrl-C to stop")
		return
	}
	address, elsewhere := v.Listen[0], false
	for _, a := range v.Listen {
		if !onlyHere(a) {
			address, elsewhere = a, true
			break
		}
	}
	if elsewhere {
		p.print("fetch it on another machine with:")
		p.print("  cloudpal get %s --peer %s", fault.Word(v.Link), address)
	} else {
		p.print("fetch it on this machine with (for others, share with --listen tcp://0.0.0.0:4100):")
		p.print("  cloudpal get %s copy --peer %s", fault.Word(v.Link), address)
	}
	p.print("sharing at %s and following changes; press Ctrl-C to stop", strings.Join(v.Listen, ", "))
}

// onlyHere tells whether an address can only be reached on this machine.
func onlyHere(address string) bool {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(address, "tcp://"))
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// updateText says what an import changed.
func updateText(v *api.Updated) string {
	if v.Added+v.Changed+v.Removed == 0 {
		return "nothing changed"
	}
	var parts []string
	for _, p := range []struct {
		n    uint64
		verb string
	}{{v.Added, "added"}, {v.Changed, "changed"}, {v.Removed, "removed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.verb))
		}
	}
	return strings.Join(parts, ", ") + "; " + size(v.Bytes) + " stored"
}

// showChange prints one line of a comparison.
func (g *globals) showChange(e client.Event) error {
	var v api.Change
	if err := e.Decode(&v); err != nil {
		return err
	}
	return g.print("%s", changeLine(&v))
}

func changeLine(v *api.Change) string {
	mark := map[string]string{"add": "+", "change": "~", "remove": "-"}[v.Op]
	if v.Op == "move" {
		return "> " + plain(v.From) + " -> " + plain(v.Path)
	}
	if v.Op == "remove" {
		return mark + " " + plain(v.Path)
	}
	return mark + " " + plain(v.Path) + "  " + size(v.Size)
}
