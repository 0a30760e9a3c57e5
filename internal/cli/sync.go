package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newSync(g *globals) *cobra.Command {
	var o connectFlags
	var r api.SyncRequest
	cmd := &cobra.Command{
		Use:     "sync DIR",
		GroupID: "main",
		Short:   "Keep a folder equal with a space, both ways",
		Long: `Sync puts a space into a folder and the folder into the space, and keeps the two equal:
what is changed on one machine is changed on the others. Where "cloudpal up" runs it
returns when the two are equal, and the node goes on; otherwise it keeps them equal until
it is interrupted.

What two people change at once is kept twice: see "conflicts". What is deleted is in the
trash for 30 days, and every version of a file is kept: see "log" and "restore".

A file .cloudpalignore in the folder says, in the syntax of .gitignore, what stays out.`,
		Example: `  cloudpal sync ~/Cloud
  cloudpal sync ~/Family --space family --only photos --max-size 100MB
  cloudpal sync ls`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) (err error) {
			if r.Dir, err = filepath.Abs(a[0]); err != nil {
				return err
			}
			r.Connect = o.request()
			var last string
			return interrupted(cmd.Context(), g.stream(cmd.Context(), "/v1/sync", r, func(e client.Event) error { return g.showSync(e, &last) }))
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Space, "space", api.HomeName, "the `NAME` of the space")
	f.StringArrayVar(&r.Only, "only", nil, "keep only this `PATH` of the space here (repeatable)")
	f.Var((*byteSize)(&r.MaxSize), "max-size", "keep only files up to this size here")
	f.StringArrayVar(&r.Ignore, "ignore", nil, "leave out what this `PATTERN` matches, in the syntax of .gitignore (repeatable)")
	f.Var((*byteSize)(&r.MinFree), "min-free", "leave this much of the disk free")
	f.BoolVar(&r.Follow, "follow", false, "go on reporting where cloudpal up runs, too")
	o.add(f)
	cmd.AddCommand(newSyncLs(g), newSyncStop(g), newSyncAnswer(g))
	return cmd
}

// showSync reports what is new about a folder.
func (g *globals) showSync(e client.Event, last *string) error {
	if e.Type != api.TypeSyncFolder {
		return nil
	}
	var v api.SyncFolder
	if err := e.Decode(&v); err != nil {
		return err
	}
	line := folderLine(&v)
	if line == *last {
		return nil
	}
	*last = line
	if err := g.print("%s", line); err != nil {
		return err
	}
	return g.showFolderHints(&v)
}

// showFolderHints says what to do about a folder.
func (g *globals) showFolderHints(v *api.SyncFolder) error {
	for _, h := range v.Hints {
		if err := g.print("  %s", plain(h)); err != nil {
			return err
		}
	}
	return nil
}

func folderLine(v *api.SyncFolder) string {
	return plain(v.Dir) + "  " + plain(v.Space) + "  " + folderState(v)
}

// folderState says how a folder stands.
func folderState(v *api.SyncFolder) string {
	state := map[string]string{"idle": "equal", "scanning": "looking for changes", "sending": "sending", "writing": "receiving", "full": "waits for space on the disk",
		"asking": "needs an answer", "stopped": "starting"}[v.State]
	line := []string{state, count(uint64(v.Files), "entry")}
	if v.Files != 1 {
		line[1] = strings.TrimSuffix(line[1], "entrys") + "entries"
	}
	switch {
	case v.State == "idle" && v.Reason != "":
		line[0] = "not equal"
	case v.State == "idle" && v.LastScan.IsZero():
		line[0] = "starting"
	case v.State == "idle" && v.Waiting > 0:
		line[0] = "waiting for files to be written"
	}
	if v.Pending > 0 {
		line = append(line, count(uint64(v.Pending), "change")+" to come")
	}
	if len(v.Problems) > 0 {
		line = append(line, count(uint64(len(v.Problems)), "problem"))
	}
	if v.Reason != "" {
		line = append(line, plain(v.Reason))
	}
	return strings.Join(line, "  ")
}

func newSyncLs(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the folders that are kept equal, and what is wrong with them",
		Long:    `Ls lists the folders of this machine that are kept equal with spaces, with the files that could not be, and why.`,
		Example: `  cloudpal sync ls`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.stream(cmd.Context(), "/v1/sync/folders", api.SyncFoldersRequest{}, func(e client.Event) error {
				if e.Type != api.TypeSyncFolder {
					return nil
				}
				var v api.SyncFolder
				if err := e.Decode(&v); err != nil {
					return err
				}
				if err := g.print("%s", folderLine(&v)); err != nil {
					return err
				}
				if err := g.showFolderHints(&v); err != nil {
					return err
				}
				for _, p := range v.Problems {
					if err := g.print("  %s: %s", plain(p.Path), plain(p.Message)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func newSyncStop(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "stop DIR",
		Short:   "Stop keeping a folder equal",
		Long:    `Stop ends it. What is in the folder stays there, and what is in the space stays there.`,
		Example: `  cloudpal sync stop ~/Cloud`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			dir, err := filepath.Abs(a[0])
			if err != nil {
				return err
			}
			return g.stream(cmd.Context(), "/v1/sync/stop", api.StopSyncRequest{Dir: dir}, nothing)
		},
	}
}

func newSyncAnswer(g *globals) *cobra.Command {
	var r api.AnswerSyncRequest
	cmd := &cobra.Command{
		Use:   "confirm DIR",
		Short: "Answer a folder that stopped because so much of it is gone",
		Long: `A folder from which everything is gone stops, since a disk may just not be there.
Confirm says that it was deleted on purpose. With --adopt what is there now is taken for
the folder, and what is missing comes back.`,
		Example: `  cloudpal sync confirm ~/Cloud
  cloudpal sync confirm ~/Cloud --adopt`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) (err error) {
			if r.Dir, err = filepath.Abs(a[0]); err != nil {
				return err
			}
			return g.stream(cmd.Context(), "/v1/sync/answer", r, nothing)
		},
	}
	cmd.Flags().BoolVar(&r.Adopt, "adopt", false, "take what is there for the folder, and delete nothing")
	return cmd
}

// nothing shows nothing of an answer.
func nothing(client.Event) error { return nil }
