package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

func newDebug(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "debug",
		GroupID: "care",
		Short:   "Find out what is wrong with the node",
		Long:    `Debug is for reports of problems.`,
		Example: `  cloudpal debug bundle`,
	}
	cmd.AddCommand(newDebugBundle(g))
	return cmd
}

// bundled is the event of debug bundle.
type bundled struct {
	Type  string `json:"type"` // "bundle"
	Path  string `json:"path"`
	Bytes uint64 `json:"bytes"`
}

func newDebugBundle(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "bundle [FILE]",
		Short: "Write what helps others to find out what is wrong",
		Long: `Bundle writes a .tar.gz file with the version, the settings, numbers about connections
and the store, the metrics, what the program is doing, and the last lines of its log. It
is about the node that runs, so let "up" run, and do what goes wrong, before.

There are no phrases, keys, links, invites, names, paths, addresses and contents in it.
Look through it nevertheless before you give it to anybody: tar -xzf FILE.`,
		Example: `  cloudpal debug bundle
  cloudpal debug bundle report.tar.gz`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			path := "cloudpal-debug-" + time.Now().Format("20060102-150405") + ".tar.gz"
			if len(a) > 0 {
				path = a[0]
			}
			return runDebugBundle(cmd.Context(), g, path)
		},
	}
}

func runDebugBundle(ctx context.Context, g *globals, path string) error {
	return g.with(ctx, func(c *client.Client) (err error) {
		body, size, err := c.Bundle(ctx)
		if err != nil {
			return err
		}
		defer body.Close()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fault.New(fault.Conflict, "%s exists", path).Hint("choose another name")
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
		}
		if g.json {
			return json.NewEncoder(g.stdout).Encode(bundled{"bundle", path, size})
		}
		return g.print("%s", path)
	})
}
