package cli

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

type receiveOptions struct {
	meetFlags
	dest string
	yes  bool
}

func newReceive(g *globals) *cobra.Command {
	var o receiveOptions
	cmd := &cobra.Command{
		Use:     "receive [CODE]",
		GroupID: "main",
		Short:   "Take files from somebody who is there",
		Long: `Receive takes the files that another person gives with "cloudpal send", on the same
network or anywhere else. CODE is what send shows there; spaces, hyphens and capitals
do not matter. A wrong code is used up: ask for a new one.

Without CODE this side shows one, and waits for somebody to send with it.

It asks before it takes anything. Nothing that exists is replaced: what has a name
that is taken gets a number. Files appear when all of them have arrived. What was
interrupted goes on where it stopped when both sides run the same commands again.`,
		Example: `  cloudpal receive 4821-guitar-walnut
  cloudpal receive 4821 guitar walnut --dest Downloads
  cloudpal receive`,
		Args: args(0, 3),
		RunE: func(cmd *cobra.Command, a []string) error {
			return runReceive(cmd.Context(), g, &o, cmd.Flags().Changed("timeout"), strings.Join(a, " "))
		},
		ValidArgsFunction: func(_ *cobra.Command, a []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(a) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return api.CompleteCode(typed), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dest, "dest", ".", "write to this `FOLDER`")
	f.BoolVarP(&o.yes, "yes", "y", false, "take what is sent without asking")
	o.meetFlags.add(f)
	return cmd
}

func runReceive(ctx context.Context, g *globals, o *receiveOptions, timeoutSet bool, code string) error {
	dest, err := filepath.Abs(o.dest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error // why the question could not be asked or answered
	r := api.ReceiveRequest{Meeting: o.request(code, timeoutSet), Dest: dest, Accept: o.yes}
	err = g.streamAll(ctx, "/v1/receive", r, func(e client.Event) error {
		switch e.Type {
		case api.TypeOffer:
			var v api.Offer
			if err := e.Decode(&v); err != nil {
				return err
			}
			if !g.json {
				g.showOffer(&v)
			}
			if v.Offer == "" {
				return nil
			}
			// The person may take their time; meanwhile the other side may go.
			go func() {
				if err := g.decide(ctx, v.Offer); err != nil && ctx.Err() == nil {
					failed = err
					cancel()
				}
			}()
			return nil
		case api.TypeCode:
			if g.json {
				return nil
			}
			return g.showCode(e, "cloudpal send FILE --code")
		case api.TypeReceived:
			if g.json {
				return nil
			}
			return g.showReceived(e)
		}
		if g.json {
			return nil
		}
		return g.showMeeting(e)
	})
	if ctx.Err() != nil && failed != nil {
		return failed
	}
	return err
}

// showOffer tells what the other side wants to send.
func (g *globals) showOffer(v *api.Offer) {
	p := g.newProgress()
	p.print("%s sends %s, %s:", plain(v.Device), count(v.Files, "file"), size(v.Bytes))
	for _, i := range v.Items {
		name := plain(i.Name)
		if i.Folder {
			name += "/"
		}
		p.print("  %s  %s", name, size(i.Bytes))
	}
	if more := v.Count - min(v.Count, uint64(len(v.Items))); more > 0 {
		p.print("  and %d more", more)
	}
}

// decide asks the person and answers the offer.
func (g *globals) decide(ctx context.Context, offer string) error {
	line, err := g.ask(ctx, "Take it? [y/N] ")
	if err != nil {
		return err
	}
	c, done, err := g.connect(ctx)
	if err != nil {
		return err
	}
	yes := strings.EqualFold(line, "y") || strings.EqualFold(line, "yes")
	for _, e := range c.Events(ctx, "/v1/decide", api.DecisionRequest{Offer: offer, Accept: yes}) {
		if e != nil && fault.KindOf(e) != fault.NotFound { // it was taken back: that is told elsewhere
			err = e
		}
	}
	if e := done(); err == nil {
		err = e
	}
	return err
}

func (g *globals) showReceived(e client.Event) error {
	var v api.Received
	if err := e.Decode(&v); err != nil {
		return err
	}
	for _, n := range v.Names {
		if err := g.print("%s", filepath.Join(v.Dest, plain(n))); err != nil {
			return err
		}
	}
	if !g.quiet {
		g.newProgress().print("%s, %s from %s", count(v.Files, "file"), size(v.Bytes), plain(v.Device))
	}
	return nil
}
