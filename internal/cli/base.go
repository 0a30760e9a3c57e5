package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/cli/qr"
	"github.com/tradle/cloudpal/internal/fault"
)

func newBase(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "base",
		GroupID: "main",
		Short:   "Keys and values that several devices write",
		Long: `A base holds ordered keys and values that several devices write, each for itself, also
while it is offline. All that have the same operations have the same state, which shows
in the same hash; indexers confirm the order, which then never changes.

One device creates the base and invites others. A device takes part while a command
runs that keeps it online: "base view NAME --follow", or "base invite".`,
		Example: `  cloudpal base create notes
  cloudpal base invite notes             on the first device, prints an invite
  cloudpal base join notes INVITE        on the second
  cloudpal base append notes milk 2
  cloudpal base view notes`,
	}
	cmd.AddCommand(newBaseCreate(g), newBaseJoin(g), newBaseInvite(g), newBaseAppend(g), newBaseView(g), newBaseMembers(g), newBaseLs(g))
	return cmd
}

func newBaseCreate(g *globals) *cobra.Command {
	var r api.BaseCreateRequest
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a base, of which this device is the first member",
		Long: `Create makes a base and prints its link. Who has the link can read the base; to write,
a device has to be a member. With --plain nothing is encrypted, and mirrors can read it.`,
		Example: `  cloudpal base create notes`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Name = a[0]
			return g.stream(cmd.Context(), "/v1/base/create", r, g.showBaseLink)
		},
	}
	cmd.Flags().BoolVar(&r.Plain, "plain", false, "do not encrypt")
	return cmd
}

func newBaseJoin(g *globals) *cobra.Command {
	var o connectFlags
	cmd := &cobra.Command{
		Use:   "join NAME INVITE|CODE|LINK",
		Short: "Join a base of somebody, under a name of your own",
		Long: `Join with an invite, or with the code that "base invite --code" shows on the other side,
waits until a member lets this device in. A wrong code is used up. With the link of a base it
only remembers the base, to read it; a member can then add this device by the key that
is printed ("base members add").`,
		Example: `  cloudpal base join notes cloudpal://invite/…
  cloudpal base join notes 4821-guitar-lantern`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			r := api.BaseJoinRequest{Connect: o.request(), Name: a[0], Ref: a[1]}
			return g.stream(cmd.Context(), "/v1/base/join", r, func(e client.Event) error {
				var v api.Base
				if e.Type != api.TypeBase {
					return nil
				}
				if err := e.Decode(&v); err != nil {
					return err
				}
				return g.print("%s", v.Local)
			})
		},
	}
	o.add(cmd.Flags())
	o.addTimeout(cmd.Flags())
	return cmd
}

func newBaseInvite(g *globals) *cobra.Command {
	var o connectFlags
	var r api.BaseInviteRequest
	var draw bool
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Invite devices into a base, and let them in",
		Long: `Invite prints an invite, which is a secret, and lets in who uses it or an earlier one,
for as long as it runs. Meanwhile the base is exchanged with its members too.

With --code it prints a short code instead, to be said to the other person, who joins
with it. The code is good for one try; should somebody type a wrong one, invite says so
and ends.`,
		Example: `  cloudpal base invite notes --uses 1 --expires 1d
  cloudpal base invite notes --code`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Connect, r.Name = o.request(), a[0]
			return interrupted(cmd.Context(), g.stream(cmd.Context(), "/v1/base/invite", r, func(e client.Event) error {
				return g.showInvite(e, draw, "waiting for devices; press Ctrl-C to stop", "cloudpal base join NAME")
			}))
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.Uses, "uses", 1, "let in so many devices; 0 is any number")
	addExpires(f, &r.Lasts, 24*time.Hour)
	f.BoolVar(&r.Indexer, "indexer", false, "the devices take part in confirming the order")
	f.BoolVar(&r.Code, "code", false, "tell the invite to who types in a short code")
	f.BoolVar(&draw, "qr", false, "draw the invite as a QR code, too")
	f.BoolVar(&r.Serve, "serve", false, "make no new invite, only let in those with earlier ones")
	o.add(f)
	return cmd
}

// showInvite shows an invite to a base or a space, and who comes by it. Under the link is
// said what to do next; join is the command that takes a code.
func (g *globals) showInvite(e client.Event, draw bool, next, join string) error {
	switch e.Type {
	case api.TypeInvited:
		var v api.Invited
		if err := e.Decode(&v); err != nil {
			return err
		}
		if draw {
			if err := qr.Write(g.stdout, api.ForQR(v.Link)); err != nil {
				return err
			}
		}
		if err := g.print("%s", v.Link); err != nil {
			return err
		}
		if !g.quiet {
			g.newProgress().print(next)
		}
	case api.TypeCode:
		return g.showCode(e, join)
	case api.TypeMet:
		return g.showMeeting(e)
	case api.TypeJoined:
		var v api.Joined
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.print("joined: %s", v.Key)
	case api.TypePerson:
		var v api.Person
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.print("joined: %s (%s)", plain(v.Name), v.Role)
	}
	return nil
}

func newBaseAppend(g *globals) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "append NAME KEY [VALUE]",
		Short: "Set a key to a value, or remove it",
		Long: `Append writes an operation to this device's log: KEY gets VALUE, or with --delete is
removed. It returns when that is durable here; others get it when a command keeps the
base online.`,
		Example: `  cloudpal base append notes milk 2
  cloudpal base append notes milk --delete`,
		Args: args(2, 3),
		RunE: func(cmd *cobra.Command, a []string) error {
			r := api.BaseAppendRequest{Name: a[0]}
			switch {
			case remove && len(a) == 2:
				r.Delete = []string{a[1]}
			case !remove && len(a) == 3:
				r.Put = []api.Pair{{Key: a[1], Value: a[2]}}
			default:
				return fault.New(fault.Usage, "give a value, or --delete").Hint("%s --help", cmd.CommandPath())
			}
			return g.stream(cmd.Context(), "/v1/base/append", r, func(client.Event) error { return nil })
		},
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "remove the key")
	return cmd
}

func newBaseView(g *globals) *cobra.Command {
	var o connectFlags
	var r api.BaseViewRequest
	cmd := &cobra.Command{
		Use:   "view NAME",
		Short: "List keys and values, or keep the base online",
		Long: `View lists the keys and values as this device has them now. With --follow it lists
nothing: it exchanges the base with others until it is interrupted, and reports every
new state by its hash.`,
		Example: `  cloudpal base view notes
  cloudpal base view notes --follow`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Connect, r.Name = o.request(), a[0]
			return interrupted(cmd.Context(), g.stream(cmd.Context(), "/v1/base/view", r, func(e client.Event) error { return g.showView(e, r.Follow) }))
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Prefix, "prefix", "", "only keys that begin with this `TEXT`")
	f.BoolVar(&r.Follow, "follow", false, "keep the base online and report every change")
	o.add(f)
	return cmd
}

func (g *globals) showView(e client.Event, follow bool) error {
	switch e.Type {
	case api.TypePair:
		var v api.Pair
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.print("%s\t%s", plain(v.Key), plain(v.Value))
	case api.TypeBase:
		var v api.Base
		if err := e.Decode(&v); err != nil {
			return err
		}
		if follow {
			return g.print("%s", baseLine(&v))
		}
	}
	return nil
}

// baseLine describes the state of a base in a line.
func baseLine(v *api.Base) string {
	role := "reader"
	if v.Writable {
		role = "member"
	}
	return strings.Join([]string{v.Name, role, count(v.Members, "member"), count(v.Tip, "step") + ", " + count(v.Signed, "signed"), v.Hash}, "  ")
}

func newBaseMembers(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "members NAME",
		Short:   "List the members of a base, add one or remove one",
		Long:    `Members lists who may write to a base, by the keys of their logs.`,
		Example: `  cloudpal base members notes`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return runMembers(cmd.Context(), g, api.BaseMembersRequest{Name: a[0]})
		},
	}
	var indexer bool
	var add, remove connectFlags
	adding := &cobra.Command{
		Use:   "add NAME KEY",
		Short: "Let the device write whose log has that key",
		Long: `Add makes a device a member, by the key that "base join" printed there. A change of
members waits until the one before is confirmed; --timeout says how long.`,
		Example: `  cloudpal base members add notes KEY`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			return runMembers(cmd.Context(), g, api.BaseMembersRequest{Connect: add.request(), Name: a[0], Add: a[1], Indexer: indexer})
		},
	}
	adding.Flags().BoolVar(&indexer, "indexer", false, "it takes part in confirming the order")
	add.add(adding.Flags())
	add.addTimeout(adding.Flags())
	removing := &cobra.Command{
		Use:     "remove NAME KEY",
		Short:   "End the membership of a device",
		Long:    `Remove ends the membership of a device: what it writes from then on does not count.`,
		Example: `  cloudpal base members remove notes KEY`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			return runMembers(cmd.Context(), g, api.BaseMembersRequest{Connect: remove.request(), Name: a[0], Remove: a[1]})
		},
	}
	remove.add(removing.Flags())
	remove.addTimeout(removing.Flags())
	cmd.AddCommand(adding, removing)
	return cmd
}

func runMembers(ctx context.Context, g *globals, r api.BaseMembersRequest) error {
	return g.stream(ctx, "/v1/base/members", r, func(e client.Event) error {
		if e.Type != api.TypeMember {
			return nil
		}
		var v api.Member
		if err := e.Decode(&v); err != nil {
			return err
		}
		role := "writer"
		switch {
		case v.Removed:
			role = "removed"
		case v.Indexer:
			role = "indexer"
		}
		line := v.Key + "  " + role + "  " + count(v.Length, "operation")
		if v.Self {
			line += "  (this device)"
		}
		return g.print("%s", line)
	})
}

func newBaseLs(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the bases of this node",
		Long:    `Ls lists the bases of this node with their links, which are secrets.`,
		Example: `  cloudpal base ls`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.stream(cmd.Context(), "/v1/bases", api.BasesRequest{}, func(e client.Event) error {
				if e.Type != api.TypeBase {
					return nil
				}
				var v api.Base
				if err := e.Decode(&v); err != nil {
					return err
				}
				return g.print("%s\n  %s", baseLine(&v), v.Link)
			})
		},
	}
}

func (g *globals) showBaseLink(e client.Event) error {
	if e.Type != api.TypeBase {
		return nil
	}
	var v api.Base
	if err := e.Decode(&v); err != nil {
		return err
	}
	return g.print("%s", v.Link)
}
