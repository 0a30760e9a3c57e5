package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

type catOptions struct {
	connectFlags
	stateFlags
	bytes string
	force bool
}

func newCat(g *globals) *cobra.Command {
	var o catOptions
	cmd := &cobra.Command{
		Use:     "cat LINK/path",
		GroupID: "look",
		Short:   "Write the content of a file to standard output",
		Long: `Cat streams a file, or with --range a part of it; only the parts that are asked for
are fetched. Content that is not text is not written to a terminal.

With --json too, standard output has the content; an error that comes after the
first byte is then an object on standard error.`,
		Example: `  cloudpal cat hyper://LINK/notes.txt
  cloudpal cat photos/film.mp4 --range 1000000-1999999 > part
  cloudpal cat ~/Cloud/report.txt --at "2026-03-01 12:30"`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error { return runCat(cmd.Context(), g, &o, a[0]) },
	}
	f := cmd.Flags()
	o.connectFlags.add(f)
	o.addTimeout(f)
	o.stateFlags.add(f)
	f.StringVar(&o.bytes, "range", "", "only these bytes: `FIRST-LAST`, FIRST- or -COUNT")
	f.BoolVar(&o.force, "binary", false, "write to a terminal whatever the content is")
	return cmd
}

func runCat(ctx context.Context, g *globals, o *catOptions, ref string) (err error) {
	t, err := target(ref, &o.stateFlags)
	if err != nil {
		return err
	}
	c, done, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	body, _, err := c.Content(ctx, api.ContentRequest{Connect: o.connectFlags.request(), Target: t, Range: o.bytes})
	if err != nil {
		return err
	}
	defer body.Close()
	// From here on standard output belongs to the content.
	g.reports = g.stderr
	out := g.stdout
	if f, ok := out.(*os.File); ok && isTerminal(f) && !o.force {
		out = textOnly{f}
	}
	_, err = io.Copy(out, body)
	return err
}

// textOnly refuses what would disturb a terminal.
type textOnly struct{ w io.Writer }

func (t textOnly) Write(b []byte) (int, error) {
	for _, c := range b {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' {
			return 0, fault.New(fault.Usage, "this file is not text").
				Hint("write it to a file with > NAME, or say --binary")
		}
	}
	n, err := t.w.Write(b)
	if err != nil {
		return n, fmt.Errorf("write to the terminal: %w", err)
	}
	return n, nil
}
