package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

func newRestore(g *globals) *cobra.Command {
	var s stateFlags
	cmd := &cobra.Command{
		Use:     "restore LINK[/path] (--version N | --at TIME | --snapshot NAME)",
		GroupID: "look",
		Short:   "Bring back an older state, as a new version",
		Long: `Restore makes an older state of an own drive, or of a path in it, the newest
version. Nothing is lost: the state before the restore stays in the history, and
restoring that undoes it.

A folder on disk that the drive follows is changed with it; what it held and had
not been imported becomes a version first.`,
		Example: `  cloudpal restore photos --version 12
  cloudpal restore ~/Cloud/report.txt --at 2h
  cloudpal restore family:photos --snapshot before-the-move
  cloudpal restore photos/2026 --at "2026-03-01 12:30"`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error { return runRestore(cmd.Context(), g, &s, a[0]) },
	}
	s.add(cmd.Flags())
	return cmd
}

func runRestore(ctx context.Context, g *globals, s *stateFlags, ref string) error {
	if s.none() {
		return fault.New(fault.Usage, "say which state to bring back, with --version, --at or --snapshot").Hint("cloudpal log %s", fault.Word(ref))
	}
	t, err := target(ref, s)
	if err != nil {
		return err
	}
	return g.stream(ctx, "/v1/restore", api.RestoreRequest{Target: t}, func(e client.Event) error {
		if e.Type != api.TypeRestored {
			return g.showKept(e)
		}
		var v api.Restored
		if err := e.Decode(&v); err != nil {
			return err
		}
		if v.Changes == 0 {
			return g.print("nothing to do: version %d has that state already", v.Version)
		}
		if err := g.print("version %d has the state of version %d: %s", v.Version, v.From, count(v.Changes, "change")); err != nil || g.quiet {
			return err
		}
		g.newProgress().print("to undo: cloudpal restore %s --version %d", fault.Word(ref), v.Before)
		return nil
	})
}
