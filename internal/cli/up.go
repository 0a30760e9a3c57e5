package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/node"
	"github.com/tradle/cloudpal/internal/service"
)

type upOptions struct {
	connectFlags
	http     string
	exposed  bool
	log      logFlags
	identity newFlags
	limits   rateFlags
	memory   byteSize
}

func newUp(g *globals) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:     "up",
		GroupID: "main",
		Short:   "Run the node until it is interrupted",
		Long: `Up opens the data folder and stays: it runs everything that has to run all the time,
and other commands work through it, so they start faster and share its connections. How
to find peers is settled by its flags for all of them.

The first time, at a terminal, it asks for the code that "device add" shows on another
machine of yours, as "join" does. On your first machine leave that empty: it makes you
somebody as "identity new" does, and shows your recovery phrase, which "identity phrase"
shows again.

With --http the API answers at a loopback address too, to programs that send the token in
the file api.token of the data folder, which only you can read:

  curl -H "Authorization: Bearer $(cat ~/.local/share/cloudpal/api.token)" \
    http://127.0.0.1:4979/v1/info

It is described there at /v1/openapi.json, and /metrics is for Prometheus.

Run it as a service with "service install". systemd is told when it is ready and, with a
watchdog, that it is alive. The log goes to standard error.`,
		Example: `  cloudpal up
  cloudpal up --http 127.0.0.1:4979 --log-format json`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runUp(cmd.Context(), g, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.http, "http", "", "answer the API at this `HOST:PORT` too, for who has the token; port 0 picks a free one")
	f.BoolVar(&o.exposed, "http-exposed", false, "let --http be an address that others can reach; the API is not encrypted")
	f.Var(&o.memory, "memory", "have caches, and the garbage collector, keep within about this many bytes, such as 100MB")
	o.log.add(f)
	o.limits.add(f)
	o.identity.add(f)
	o.connectFlags.add(f)
	return cmd
}

func runUp(ctx context.Context, g *globals, o *upOptions) (err error) {
	runtime.MemProfileRate = 0 // nobody asks for that profile, which takes some MiB
	log, err := o.log.logger(g)
	if err != nil {
		return err
	}
	notifier := service.NewNotifier()
	home, err := node.Home()
	if err != nil {
		return err
	}
	if client.Answers(ctx, node.Socket(home)) {
		return fault.New(fault.Busy, "a node runs on %s already", home).Hint("ask it: cloudpal status")
	}
	n, err := node.Open(ctx, node.Options{Home: home, Version: version(), Memory: int64(o.memory), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = closeNode(n, err) }()
	if _, err := n.Limit(o.limits.change()); err != nil {
		return err
	}
	if err := g.whoIsUp(ctx, n, o, log); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	err = n.Up(ctx, node.UpOptions{Connect: o.connectFlags.request(), HTTP: o.http, Exposed: o.exposed}, func(up api.Up) {
		if err := g.showUp(&up); err != nil {
			cancel(err)
			return
		}
		if err := notifier.Ready(); err != nil {
			log.Warn("not told to be ready", "err", err)
		}
		watching.Go(func() {
			if err := notifier.Watch(ctx, n.Healthy); err != nil {
				cancel(err)
			}
		})
	})
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if e := notifier.Stopping(); e != nil {
		log.Debug("not told to stop", "err", e)
	}
	return err
}

// failedClose is how long a node may take to end when its disk failed.
const failedClose = 20 * time.Second

// closeNode closes a node that ended with err. On a disk that failed much of it may wait
// for ever, and there is nothing left to be saved.
func closeNode(n *node.Node, err error) error {
	kind := fault.KindOf(err)
	if kind != fault.Disk && kind != fault.Full {
		return errors.Join(err, n.Close())
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = n.Close() // its errors are about what failed already
	}()
	select {
	case <-closed:
	case <-time.After(failedClose):
	}
	return err
}

// whoIsUp makes an identity at a terminal, when there is none, and opens the key of one
// that has a passphrase, if that is at hand.
func (g *globals) whoIsUp(ctx context.Context, n *node.Node, o *upOptions, log *slog.Logger) error {
	c := client.New(client.Memory(n.Handler()))
	defer c.Close()
	i, err := one[api.Identity](ctx, c, "/v1/identity/show", api.ShowIdentityRequest{})
	if err == nil && i.Protection == "passphrase" {
		if o.identity.file == "" && !g.atTerminal() {
			log.Warn("the key of this device is locked: run cloudpal identity unlock, or name a --passphrase-file")
			return nil
		}
		return g.unlock(ctx, c, &o.identity.passphraseFlag)
	}
	if fault.KindOf(err) != fault.NotFound || err == nil {
		return err
	}
	// The phrase shall not end in the log of a service.
	if out, ok := g.stdout.(*os.File); !ok || !term.IsTerminal(int(out.Fd())) || !g.atTerminal() {
		log.Warn("this device belongs to nobody yet: run cloudpal identity new, or cloudpal up at a terminal")
		return nil
	}
	return g.begin(ctx, c, o)
}

// begin makes this device the first one of a person, or one more.
func (g *globals) begin(ctx context.Context, c *client.Client, o *upOptions) error {
	fmt.Fprint(g.stderr, "Is this your first machine? Then press Enter. If not, type \"cloudpal device add\" on another one,\nand here the code that it shows: ")
	code, err := g.secretLine(ctx)
	if err != nil {
		return err
	}
	if code = strings.TrimSpace(code); code == "" {
		return g.becomeSomebody(ctx, c, &o.identity)
	}
	if !api.IsCode(code) {
		return fault.New(fault.Usage, "%q is no code", code).Hint("it looks like 4821-guitar-lantern")
	}
	r := api.JoinRequest{Connect: o.connectFlags.request(), Ref: code}
	if r.KeyProtection, err = o.identity.choose(ctx, g, c); err != nil {
		return err
	}
	p := g.newProgress()
	defer p.finish()
	for e, err := range c.Events(ctx, "/v1/join", r) {
		if err != nil {
			return err
		}
		if err := g.event(e, p, g.showJoined); err != nil {
			return err
		}
	}
	return nil
}

func (g *globals) showUp(up *api.Up) error {
	if g.json {
		return json.NewEncoder(g.stdout).Encode(up)
	}
	if err := g.print("socket  %s", up.Socket); err != nil {
		return err
	}
	if up.HTTP != "" {
		if err := g.print("http    %s", up.HTTP); err != nil {
			return err
		}
	}
	for _, l := range up.Listen {
		if err := g.print("listen  %s", l); err != nil {
			return err
		}
	}
	if !g.quiet {
		g.newProgress().print("running; press Ctrl-C to stop")
	}
	return nil
}

// logFlags say what is logged and how.
type logFlags struct{ format, level string }

func (l *logFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.format, "log-format", "text", "log in this `FORMAT`: text or json")
	f.StringVar(&l.level, "log-level", "info", "log from this `LEVEL` on: debug, info, warn or error")
}

func (l *logFlags) logger(g *globals) (*slog.Logger, error) {
	var level slog.Level
	switch strings.ToLower(l.level) {
	case "debug", "info", "warn", "error":
		_ = level.UnmarshalText([]byte(l.level)) // it is one of them
	default:
		return nil, fault.New(fault.Usage, "--log-level: %q is not a level", l.level).Hint("it is debug, info, warn or error")
	}
	if g.verbose {
		level = slog.LevelDebug
	}
	o := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(g.stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(g.stderr, o)), nil
	}
	return nil, fault.New(fault.Usage, "--log-format: %q is not a format", l.format).Hint("it is text or json")
}
