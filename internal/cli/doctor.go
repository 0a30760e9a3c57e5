package cli

import (
	"context"
	"fmt"

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
came from, if these are still the same. Then it looks whether others can read what is
secret, and whether the identity can be used. With --check it only reports.

Of spaces it tells which folders are not kept equal and why, which operations wait for
devices that are away, which keys are missing, which spaces have no second copy, which
copies were not proven, which mirrors keep nothing, and which clocks are wrong. These are
warnings, each with what to do; it knows most where "cloudpal up" runs.

What is damaged beyond repair ends it with exit status 6; warnings do not.`,
		Example: `  cloudpal doctor
  cloudpal doctor --check`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), g, check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "only report")
	return cmd
}

func runDoctor(ctx context.Context, g *globals, check bool) error {
	var logs, checks, problems, repaired, warnings uint64
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
		if e.Type == api.TypeChecked {
			var v api.Checked
			if err := e.Decode(&v); err != nil {
				return err
			}
			checks++
			problems += uint64(len(v.Problems))
			repaired += uint64(len(v.Repaired))
			warnings += uint64(len(v.Warnings))
			if g.json {
				return nil
			}
			return g.showFinding(v.Name, v.Problems, v.Repaired, v.Warnings)
		}
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
		return g.showFinding(fmt.Sprintf("%s: %s of %d held", plain(name), count(v.Blocks, "block"), v.Length), v.Problems, v.Repaired, nil)
	})
	if err != nil || g.json {
		return err
	}
	line := fmt.Sprintf("%s and %s checked, %s, %d repaired", count(logs, "log"), count(checks, "other thing"), count(problems, "problem"), repaired)
	if warnings > 0 {
		line += ", " + count(warnings, "warning")
	}
	return g.print("%s", line)
}

// showFinding prints what was found about something.
func (g *globals) showFinding(what string, problems, repaired, warnings []string) error {
	verdict := "good"
	switch {
	case len(problems) > 0:
		verdict = "damaged"
	case len(warnings) > 0:
		verdict = "warning"
	}
	if err := g.print("%-8s %s", verdict, what); err != nil {
		return err
	}
	for _, s := range problems {
		if err := g.print("  problem: %s", plain(s)); err != nil {
			return err
		}
	}
	for _, s := range repaired {
		if err := g.print("  repaired: %s", plain(s)); err != nil {
			return err
		}
	}
	for _, s := range warnings {
		if err := g.print("  warning: %s", plain(s)); err != nil {
			return err
		}
	}
	return nil
}
