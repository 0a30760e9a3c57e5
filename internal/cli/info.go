package cli

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
)

func newInfo(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "info",
		GroupID: "care",
		Short:   "Show this machine's drives, peers and disk use",
		Long: `Info shows where the data is kept and how much of it there is, the addresses where
peers can connect while a cloudpal runs here, and every drive that this machine
knows: its name, which stands for its link in all commands, and its link.`,
		Example: `  cloudpal info
  cloudpal info --json | jq -r 'select(.type == "drive").link'`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runInfo(cmd.Context(), g) },
	}
}

func runInfo(ctx context.Context, g *globals) (err error) {
	c, done, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	info.Type = api.TypeInfo
	if g.json {
		if err := json.NewEncoder(g.stdout).Encode(info); err != nil {
			return err
		}
	} else {
		listen := strings.Join(info.Listen, ", ")
		if listen == "" {
			listen = "not listening"
		}
		for _, line := range [][2]string{
			{"cloudpal", info.Version}, {"data", info.Home}, {"id", info.ID}, {"peers", listen},
			{"disk", size(info.DiskBytes) + " used, " + size(info.FreeBytes) + " free"},
		} {
			if err := g.print("%-9s %s", line[0], line[1]); err != nil {
				return err
			}
		}
		for _, p := range info.Peers {
			if err := g.print("  %s %s", p.State, p.Address); err != nil {
				return err
			}
		}
	}
	if info.Drives == 0 && !g.json && !g.quiet {
		g.newProgress().print("no drives yet; share a folder: cloudpal share FOLDER")
	}
	for e, err := range c.Events(ctx, "/v1/drives", struct{}{}) {
		if err != nil {
			return err
		}
		if e.Type != api.TypeDrive {
			continue
		}
		if g.json {
			if err := g.print("%s", e.Data); err != nil {
				return err
			}
			continue
		}
		var d api.Drive
		if err := e.Decode(&d); err != nil {
			return err
		}
		if err := g.showDrive(&d); err != nil {
			return err
		}
	}
	return nil
}

func (g *globals) showDrive(d *api.Drive) error {
	what := "fetched"
	if d.Writable {
		what = "own"
	}
	if d.Encrypted {
		what += ", encrypted"
	}
	if err := g.print("\n%s  (%s, version %d, %s, %s here)", plain(d.Name), what, d.Version, size(d.Bytes), size(d.Held)); err != nil {
		return err
	}
	if d.Path != "" {
		if err := g.print("  %s", d.Path); err != nil {
			return err
		}
	}
	return g.print("  %s", d.Link)
}
