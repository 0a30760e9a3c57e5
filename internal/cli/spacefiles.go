package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

func newUndo(g *globals) *cobra.Command { return newUndoOrRedo(g, false) }
func newRedo(g *globals) *cobra.Command { return newUndoOrRedo(g, true) }

func newUndoOrRedo(g *globals, redo bool) *cobra.Command {
	r := api.UndoRequest{Redo: redo}
	cmd := &cobra.Command{
		Use:     "undo SPACE",
		GroupID: "look",
		Short:   "Take back what this device did last in a space",
		Long: `Undo takes back the last change that this device made in a space, also after others got
it; called again, the one before. What somebody else changed since stays as it is. SPACE
is the name of a space, or a folder that is kept equal with it.`,
		Example: `  cloudpal undo family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) (err error) {
			if r.Dir, err = here(); err != nil {
				return err
			}
			r.Space = a[0]
			return g.stream(cmd.Context(), "/v1/space/undo", r, g.showKept)
		},
	}
	if redo {
		cmd.Use, cmd.Short, cmd.Example = "redo SPACE", "Do again what was taken back last in a space", "  cloudpal redo family"
		cmd.Long = `Redo does again what "undo" took back last, as long as this device did nothing else since.`
	}
	cmd.Flags().IntVarP(&r.Count, "count", "n", 1, "as many changes")
	return cmd
}

// showKept says what was written, and what was not.
func (g *globals) showKept(e client.Event) error {
	if e.Type != api.TypeKept {
		return nil
	}
	var v api.Kept
	if err := e.Decode(&v); err != nil {
		return err
	}
	if err := g.print("%s", count(uint64(v.Changes), "change")); err != nil {
		return err
	}
	for _, l := range v.Left {
		if err := g.print("  left as it is: %s: %s", plain(l.Path), plain(l.Why)); err != nil {
			return err
		}
	}
	return nil
}

func newConflicts(g *globals) *cobra.Command {
	var r api.ConflictsRequest
	cmd := &cobra.Command{
		Use:     "conflicts SPACE",
		GroupID: "look",
		Short:   "List what was changed in two places at once, and decide",
		Long: `A file that is changed in two places at once is kept twice: one version under its name,
the other beside it, with the device and the time in its name. Texts that were changed in
different places are merged by themselves. Conflicts lists what is left to decide;
nothing is lost by deciding: the other version stays in the history.`,
		Example: `  cloudpal conflicts family
  cloudpal conflicts keep copy "family:notes (conflict, …).txt"`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) (err error) {
			if r.Dir, err = here(); err != nil {
				return err
			}
			r.Space = a[0]
			return g.stream(cmd.Context(), "/v1/space/conflicts", r, func(e client.Event) error {
				if e.Type != api.TypeConflict {
					return nil
				}
				var v api.Conflict
				if err := e.Decode(&v); err != nil {
					return err
				}
				return g.print("%s\n  of %s", plain(v.Copy), plain(v.Of))
			})
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "keep original|copy PATH",
		Short: "Decide a conflict",
		Long: `Keep decides the conflict whose copy is at PATH: with "original" the copy goes away, with
"copy" it takes the place of the original. PATH is SPACE:path, or a file in a folder that
is kept equal with the space.`,
		Example: `  cloudpal conflicts keep original "family:notes (conflict, …).txt"`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			dir, err := here()
			if err != nil {
				return err
			}
			return g.stream(cmd.Context(), "/v1/space/conflicts", api.ConflictsRequest{Dir: dir, Keep: a[0], Resolve: a[1]}, g.showKept)
		},
	})
	return cmd
}

func newTrash(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "trash SPACE[:path]",
		GroupID: "look",
		Short:   "List what was deleted in a space, restore it, or drop it for good",
		Long: `What is deleted in a space is in its trash for 30 days, or as long as the space says:
see "space set". Then it is gone from all devices, with its history.`,
		Example: `  cloudpal trash family
  cloudpal trash restore family:photos/summer.jpg
  cloudpal trash empty family`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.trash(cmd.Context(), api.TrashRequest{Space: a[0]})
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "restore SPACE:path",
		Short:   "Bring back what was deleted",
		Long:    `Restore brings back what was deleted at a path, and below it. What is there now stays.`,
		Example: `  cloudpal trash restore family:photos/summer.jpg`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.trash(cmd.Context(), api.TrashRequest{Space: a[0], Restore: true})
		},
	}, &cobra.Command{
		Use:     "empty SPACE[:path]",
		Short:   "Drop what was deleted for good, from all devices",
		Long:    `Empty drops what is in the trash, with its history, on all devices. It cannot be undone.`,
		Example: `  cloudpal trash empty family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.trash(cmd.Context(), api.TrashRequest{Space: a[0], Empty: true})
		},
	})
	return cmd
}

func (g *globals) trash(ctx context.Context, r api.TrashRequest) (err error) {
	if r.Dir, err = here(); err != nil {
		return err
	}
	return g.stream(ctx, "/v1/space/trash", r, func(e client.Event) error {
		if e.Type != api.TypeDeleted {
			return g.showKept(e)
		}
		var v api.Deleted
		if err := e.Decode(&v); err != nil {
			return err
		}
		bytes := size(v.Size)
		if v.Kind == "folder" {
			bytes = ""
		}
		return g.print("%s  %10s  %s", moment(v.At), bytes, plain(v.Path))
	})
}

func newSnapshot(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "snapshot SPACE",
		GroupID: "look",
		Short:   "Give the present state of a space a name, to keep it",
		Long: `A snapshot is a version of a space with a name. What it has is kept until it is dropped,
whatever is deleted or emptied. See it with "ls --snapshot", compare it with "diff
--from-snapshot", bring it back with "restore --snapshot".`,
		Example: `  cloudpal snapshot family
  cloudpal snapshot take family before-the-move
  cloudpal restore family --snapshot before-the-move`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.snapshots(cmd.Context(), api.SnapshotsRequest{Space: a[0]})
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "take SPACE NAME",
		Short:   "Take a snapshot",
		Example: `  cloudpal snapshot take family before-the-move`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			if a[1] == "" {
				return fault.New(fault.Usage, "a snapshot needs a name")
			}
			return g.snapshots(cmd.Context(), api.SnapshotsRequest{Space: a[0], Take: a[1]})
		},
	}, &cobra.Command{
		Use:     "drop SPACE NAME",
		Short:   "Drop a snapshot",
		Example: `  cloudpal snapshot drop family before-the-move`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.snapshots(cmd.Context(), api.SnapshotsRequest{Space: a[0], Drop: a[1]})
		},
	})
	return cmd
}

func (g *globals) snapshots(ctx context.Context, r api.SnapshotsRequest) (err error) {
	if r.Dir, err = here(); err != nil {
		return err
	}
	return g.stream(ctx, "/v1/space/snapshots", r, func(e client.Event) error {
		if e.Type != api.TypeSnapshot {
			return nil
		}
		var v api.Snapshot
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.print("%s  version %d  %s", moment(v.At), v.Version, plain(v.Name))
	})
}
