package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newDoctor(g *globals) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:     "doctor",
		GroupID: "care",
		Short:   "Check everything that is stored, and repair what can be repaired",
		Long: `Doctor reads every stored block and checks it against the tree of hashes that the
owner signed. Damaged blocks of fetched drives are dropped, so that they are
fetched again; those of own drives are restored from the files on disk that they
came from, if these are still the same. With --check it only reports.

What is damaged beyond repair ends it with exit status 6.`,
		Example: `  cloudpal doctor
  cloudpal doctor --check`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), g, check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "only report")
	return cmd
}

func runDoctor(ctx context.Context, g *globals, check bool) error {
	var logs, problems, repaired uint64
	tally := func(e client.Event) (api.Audit, error) {
		var v api.Audit
		if err := e.Decode(&v); err != nil {
			return v, err
		}
		logs++
		problems += uint64(len(v.Problems))
		repaired += uint64(len(v.Repaired))
		return v, nil
	}
	err := g.streamAll(ctx, "/v1/audit", api.AuditRequest{Check: check}, func(e client.Event) error {
		if e.Type != api.TypeAudit {
			return nil
		}
		v, err := tally(e)
		if err != nil || g.json {
			return err
		}
		name := v.Name
		if name == "" {
			name = v.Key
		}
		verdict := "good"
		if len(v.Problems) > 0 {
			verdict = "damaged"
		}
		if err := g.print("%-8s %s: %s of %d held", verdict, plain(name), count(v.Blocks, "block"), v.Length); err != nil {
			return err
		}
		for _, s := range v.Problems {
			if err := g.print("  problem: %s", plain(s)); err != nil {
				return err
			}
		}
		for _, s := range v.Repaired {
			if err := g.print("  repaired: %s", plain(s)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || g.json {
		return err
	}
	return g.print("%s checked, %s, %d repaired", count(logs, "log"), count(problems, "problem"), repaired)
}
