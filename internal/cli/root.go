package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/node"
)

// globals are what all commands share.
type globals struct {
	json    bool
	quiet   bool
	verbose bool

	stdin          io.Reader
	stdout, stderr io.Writer
	reports        io.Writer // of errors with --json
}

// Run runs the command line and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	g := &globals{stdin: stdin, stdout: stdout, stderr: stderr, reports: stdout}
	root := newRoot(g)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return g.report(err)
}

// report tells the person or program about err and returns the exit code.
func (g *globals) report(err error) int {
	r := fault.ReportOf(err)
	if r.Message == context.Canceled.Error() {
		r.Message = "interrupted"
	}
	if len(r.Hints) == 0 && fault.KindOf(err) == fault.Canceled {
		r.Hints = []string{"run the same command again to go on"}
	}
	if g.json {
		_ = json.NewEncoder(g.reports).Encode(r)
		return r.Exit
	}
	fmt.Fprintf(g.stderr, "cloudpal: %s\n", plain(strings.ReplaceAll(r.Message, "\n", "; ")))
	for _, h := range r.Hints {
		fmt.Fprintf(g.stderr, "hint: %s\n", plain(h))
	}
	return r.Exit
}

const rootLong = `CloudPal moves your folders between your machines and to other people, without
a server: every byte is signed by its owner, checked on arrival, and kept in
all its versions. Peers that speak Hypercore in JavaScript can stand on either
side.

LINK is a link as "share" prints it, the name of a drive that "info" lists, or
the path of a folder that is shared here; a path inside the drive may follow.

Data is kept in $CLOUDPAL_HOME, by default ~/.local/share/cloudpal. Results go to
standard output, everything else to standard error; with --json every event is a
line on standard output, an object whose "type" says what it is.`

const rootExample = `  cloudpal share Photos       print a link and keep sharing
  cloudpal get hyper://LINK   fetch it, on another machine`

func newRoot(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "cloudpal",
		Short:             "Your folders on all your machines, signed and versioned",
		Long:              rootLong + "\n\n" + exitHelp(),
		Example:           rootExample,
		Args:              knownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	f := cmd.PersistentFlags()
	f.BoolVar(&g.json, "json", false, "print events as JSON, one object per line")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "no progress and no warnings")
	f.BoolVar(&g.verbose, "verbose", false, "tell on standard error what happens in the background")
	cmd.SetFlagErrorFunc(wrongFlag)
	cmd.AddGroup(
		&cobra.Group{ID: "main", Title: "Share and fetch:"},
		&cobra.Group{ID: "look", Title: "Look inside:"},
		&cobra.Group{ID: "care", Title: "Look after:"},
	)
	cmd.SetUsageTemplate(strings.TrimRight(cmd.UsageTemplate(), "\n") + "{{if .HasParent}}\n\n" + exitSummary() + "{{end}}\n")
	cmd.SetHelpCommandGroupID("care")
	cmd.SetCompletionCommandGroupID("care")
	cmd.AddCommand(
		newShare(g), newGet(g), newSeed(g), newServe(g), newSend(g), newReceive(g), newBase(g), newMirror(g), newUp(g), newSync(g), newSpace(g), newDevice(g), newJoin(g), newPublish(g),
		newLs(g), newCat(g), newLog(g), newDiff(g), newRestore(g), newUndo(g), newRedo(g), newConflicts(g), newTrash(g), newSnapshot(g),
		newInfo(g), newStatus(g), newDoctor(g), newLimit(g), newService(g), newDebug(g), newNet(g), newDHT(g), newIdentity(g), newVersion(g), newMan(g),
	)
	cmd.InitDefaultCompletionCmd()
	for _, c := range cmd.Commands() {
		if !c.Runnable() { // it is there for its own commands
			c.Args = knownCommand
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	return cmd
}

// wrongFlag says what is wrong with a flag.
func wrongFlag(c *cobra.Command, err error) error {
	f := fault.New(fault.Usage, "%w", err)
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		wants := "is not for that"
		switch value.GetFlag().Value.Type() {
		case "uint64", "int", "uint":
			wants = "is not a whole number"
		case "duration":
			wants = "is not a duration such as 30s or 5m"
		case "bool":
			wants = "is neither true nor false"
		case "RATE":
			wants = "is not a rate such as 500kB, or none"
		case "TIME":
			wants = "is not a length of time such as 48h or 2d"
		case "SIZE":
			wants = "is not a size such as 500GB or 20GiB"
		}
		f = fault.New(fault.Usage, "--%s: %q %s", value.GetFlag().Name, value.GetValue(), wants)
	}
	return f.Hint("%s --help", c.CommandPath())
}

func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit status:\n")
	for _, e := range fault.ExitCodes() {
		fmt.Fprintf(&b, "  %3d  %s\n", e.Code, e.Help)
	}
	return strings.TrimRight(b.String(), "\n")
}

// exitSummary names the exit codes in lines for the help of every command.
func exitSummary() string {
	const width = 80
	lines := []string{"Exit status:"}
	for i, e := range fault.ExitCodes() {
		word := fmt.Sprintf(" %d %s", e.Code, e.Name)
		if i > 0 {
			lines[len(lines)-1] += ","
		}
		if last := lines[len(lines)-1]; len(last)+len(word) >= width {
			lines = append(lines, " ")
		}
		lines[len(lines)-1] += word
	}
	return strings.Join(append(lines, `  (what they mean: "cloudpal --help")`), "\n")
}

// knownCommand refuses what is no command, with the nearest ones as hints.
func knownCommand(c *cobra.Command, a []string) error {
	if len(a) == 0 {
		return nil
	}
	f := fault.New(fault.Usage, "there is no command %q", a[0])
	for _, s := range c.SuggestionsFor(a[0]) {
		f = f.Hint("%s %s", c.CommandPath(), s)
	}
	return f.Hint("see all commands: %s --help", c.CommandPath())
}

// args checks the number of arguments; most is negative if there is no limit.
// Its errors show how the command is written.
func args(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, a []string) error {
		var f *fault.Error
		switch n := len(a); {
		case n >= least && (n <= most || most < 0):
			return nil
		case n == 0:
			f = fault.New(fault.Usage, "something is missing behind %q", c.Name())
		case n < least:
			f = fault.New(fault.Usage, "something is missing behind %q", a[n-1])
		default:
			f = fault.New(fault.Usage, "%q is too much", a[most]).Hint("put names with spaces in quotes")
		}
		_, written, _ := strings.Cut(c.UseLine(), " ")
		return f.Hint("cloudpal %s", strings.TrimSuffix(written, " [flags]")).Hint("more: %s --help", c.CommandPath())
	}
}

// patience for a process that holds the data folder and does not answer yet.
const patience = 10 * time.Second

// connect returns a client of the node that owns the data folder, started in
// this process if none runs.
func (g *globals) connect(ctx context.Context) (c *client.Client, done func() error, err error) {
	home, err := node.Home()
	if err != nil {
		return nil, nil, err
	}
	var busy error
	for until := time.Now().Add(patience); ; {
		socket := node.Socket(home)
		if client.Answers(ctx, socket) {
			c := client.New(client.Socket(socket))
			return c, func() error { c.Close(); return nil }, nil
		}
		n, err := node.Open(ctx, node.Options{Home: home, Version: version(), Log: g.logger()})
		if err == nil {
			return client.New(client.Memory(n.Handler())), n.Close, nil
		}
		if fault.KindOf(err) != fault.Busy || time.Now().After(until) {
			return nil, nil, err
		}
		busy = err
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, errors.Join(ctx.Err(), busy)
		}
	}
}

func (g *globals) logger() *slog.Logger {
	if !g.verbose {
		return nil
	}
	return slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// version returns the version of the program, as far as the build knows.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "development"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(v, s.Value[:12]) {
			v += " " + s.Value[:12]
		}
	}
	return v
}

// here is the folder that relative paths start from.
func here() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the current folder: %w", err)
	}
	return dir, nil
}
