package cli

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

type sendOptions struct {
	meetFlags
	to, code string
}

func newSend(g *globals) *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:     "send FILE...",
		GroupID: "main",
		Short:   "Give files to somebody who is there",
		Long: `Send prints a short code. Say it to the other person, who types it into
"cloudpal receive", on the same network or anywhere else; the files go from machine to
machine, encrypted so that only those two can read them. With --no-dht only the same
network will do, and nobody outside of it learns that something is sent.

The code is good for one try. Should somebody type a wrong one, send says so and
ends; run it again for a new code.

The other side may show the code instead: it runs "cloudpal receive" without one,
and you run send with --to and the name of that machine.

A transfer that was interrupted goes on where it stopped when both sides run the
same commands again.`,
		Example: `  cloudpal send holiday.jpg Documents
  cloudpal send holiday.jpg --no-dht
  cloudpal send holiday.jpg --to anna`,
		Args: args(1, -1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return runSend(cmd.Context(), g, &o, cmd.Flags().Changed("timeout"), a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "send only to the machine of this `NAME`, which shows the code")
	f.StringVar(&o.code, "code", "", "the `CODE` that the other side shows")
	o.meetFlags.add(f)
	return cmd
}

func runSend(ctx context.Context, g *globals, o *sendOptions, timeoutSet bool, paths []string) error {
	if o.to != "" && o.code == "" {
		var err error
		if o.code, err = g.ask(ctx, "Code that %s shows: ", o.to); err != nil {
			return err
		}
		if o.code == "" {
			return fault.New(fault.Usage, "there is no code").Hint("run cloudpal receive on the other machine; it shows one")
		}
	}
	r := api.SendRequest{Meeting: o.request(o.code, timeoutSet), To: o.to}
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		r.Paths = append(r.Paths, abs)
	}
	return g.stream(ctx, "/v1/send", r, func(e client.Event) error {
		switch e.Type {
		case api.TypeCode:
			return g.showCode(e, "cloudpal receive")
		case api.TypeSent:
			var v api.Sent
			if err := e.Decode(&v); err != nil || g.quiet {
				return err
			}
			g.newProgress().print("%s has %s, %s", v.Device, count(v.Files, "file"), size(v.Bytes))
			return nil
		}
		return g.showMeeting(e)
	})
}
