package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newSpace(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "space",
		GroupID: "main",
		Short:   "Spaces: folders that several people and devices write",
		Long: `A space is a folder that people share, each on their own devices. Everybody has all
of it, also offline; what one changes the others get, and every version is kept.

Owners decide who is in a space, editors change files, viewers read. A mirror is an
always-on machine that keeps a space without being able to read it.

"sync" puts a space into a folder of this machine.`,
		Example: `  cloudpal space create family
  cloudpal space invite family --role editor
  cloudpal sync ~/Family --space family`,
	}
	cmd.AddCommand(newSpaceCreate(g), newSpaceLs(g), newSpaceInvite(g), newSpaceInvites(g), newSpaceMembers(g), newSpaceDevices(g), newSpaceRole(g), newSpaceRemove(g),
		newSpaceStatus(g), newSpaceSet(g), newSpaceKeep(g), newSpaceAddMirror(g), newSpaceLink(g), newSpaceOpen(g), newSpaceRecover(g), newSpaceLeave(g))
	return cmd
}

func (g *globals) showSpace(e client.Event) error {
	if e.Type != api.TypeSpace {
		return nil
	}
	var v api.Space
	if err := e.Decode(&v); err != nil {
		return err
	}
	return g.print("%s", spaceLine(&v))
}

// spaceLine describes a space in a line.
func spaceLine(v *api.Space) string {
	role := v.Role
	switch {
	case v.Error != "":
		role = "stopped: " + plain(v.Error)
	case v.Removed:
		role = "you were removed"
	case role == "":
		role = "has not arrived yet"
	}
	return plain(v.Name) + "  " + role
}

func newSpaceCreate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a space, which is yours",
		Long:    `Create makes a space. You are its owner; your other devices get it by themselves.`,
		Example: `  cloudpal space create family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.stream(cmd.Context(), "/v1/space/create", api.CreateSpaceRequest{Name: a[0]}, g.showSpace)
		},
	}
}

func newSpaceLs(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List the spaces of this device",
		Long:    `Ls lists the spaces of this device, and what you are in each.`,
		Example: `  cloudpal space ls`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.stream(cmd.Context(), "/v1/spaces", api.SpacesRequest{}, g.showSpace)
		},
	}
}

func newSpaceInvite(g *globals) *cobra.Command {
	var o connectFlags
	var r api.InviteRequest
	var draw, later bool
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Invite somebody into a space",
		Long: `Invite prints an invite, which is a secret, and waits until it is used. Any device of
an owner or editor that is online lets in who has it, so you can stop waiting.

With --code it prints a short code instead, to be said to the other person, who joins
with it. The code is good for one try, while the command waits.`,
		Example: `  cloudpal space invite family --role editor --expires 2d
  cloudpal space invite family --role viewer --code`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Connect, r.Space, r.Wait = o.request(), a[0], !later
			return interrupted(cmd.Context(), g.stream(cmd.Context(), "/v1/space/invite", r, func(e client.Event) error {
				return g.showInvite(e, draw, "on the other machine: cloudpal join INVITE", "cloudpal join")
			}))
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Role, "role", "editor", "what the invited may do: `ROLE` is owner, editor or viewer")
	f.IntVar(&r.Uses, "uses", 1, "let in so many devices; 0 is any number")
	addExpires(f, &r.Lasts, 7*24*time.Hour)
	f.StringVar(&r.Label, "label", "", "what the invite is for, as \"space invites\" shows it")
	f.BoolVar(&r.Code, "code", false, "tell the invite to who types in a short code")
	f.BoolVar(&draw, "qr", false, "draw the invite as a QR code, too")
	f.BoolVar(&later, "no-wait", false, "print the invite and end; a device that is up lets in who has it")
	o.add(f)
	return cmd
}

func newSpaceInvites(g *globals) *cobra.Command {
	var r api.InvitationsRequest
	cmd := &cobra.Command{
		Use:     "invites NAME",
		Short:   "List the invites of a space, or revoke one",
		Long:    `Invites lists the invites of a space. An invite that is revoked lets nobody in any more.`,
		Example: `  cloudpal space invites family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space = a[0]
			return g.stream(cmd.Context(), "/v1/space/invites", r, func(e client.Event) error {
				var v api.Invitation
				if e.Type != api.TypeInvitation {
					return nil
				}
				if err := e.Decode(&v); err != nil {
					return err
				}
				return g.print("%s", invitationLine(&v, time.Now()))
			})
		},
	}
	cmd.Flags().StringVar(&r.Revoke, "revoke", "", "revoke the invite with this `ID` first")
	return cmd
}

func invitationLine(v *api.Invitation, now time.Time) string {
	state := "open"
	switch {
	case v.Revoked:
		state = "revoked"
	case v.Uses > 0 && v.Used >= v.Uses:
		state = "used up"
	case !v.Expires.IsZero() && v.Expires.Before(now):
		state = "expired"
	case !v.Expires.IsZero():
		state = "open until " + moment(v.Expires)
	}
	line := v.ID + "  " + v.Role + "  " + state + "  used " + fmt.Sprint(v.Used)
	if v.Uses > 0 {
		line += fmt.Sprintf(" of %d", v.Uses)
	}
	if v.Label != "" {
		line += "  " + plain(v.Label)
	}
	return line
}

func newSpaceMembers(g *globals) *cobra.Command {
	var r api.MembersRequest
	cmd := &cobra.Command{
		Use:     "members NAME",
		Short:   "List the people in a space and their devices",
		Long:    `Members lists who is in a space, with their devices. A device that "confirms" takes part in settling the order of changes.`,
		Example: `  cloudpal space members family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space = a[0]
			return g.listMembers(cmd.Context(), r)
		},
	}
	cmd.Flags().BoolVar(&r.Former, "former", false, "list those who were members, too")
	return cmd
}

func (g *globals) listMembers(ctx context.Context, r api.MembersRequest) error {
	return g.stream(ctx, "/v1/space/members", r, func(e client.Event) error {
		switch e.Type {
		case api.TypePerson:
			var v api.Person
			if err := e.Decode(&v); err != nil {
				return err
			}
			return g.print("%s", personLine(&v))
		case api.TypeDevice:
			var v api.Device
			if err := e.Decode(&v); err != nil {
				return err
			}
			return g.print("  %s", deviceLine(&v))
		}
		return nil
	})
}

func personLine(v *api.Person) string {
	line := []string{plain(v.Name), v.Role}
	if v.Removed {
		line[1] = "removed"
	}
	if v.Self {
		line = append(line, "(you)")
	}
	return strings.Join(line, "  ")
}

func deviceLine(v *api.Device) string {
	line := []string{plain(v.Name)}
	for _, word := range []struct {
		is   bool
		text string
	}{{v.Removed, "removed"}, {v.AlwaysOn, "always on"}, {v.Indexer, "confirms"}, {v.Self, "(this device)"}} {
		if word.is {
			line = append(line, word.text)
		}
	}
	return strings.Join(line, "  ")
}

func newSpaceRole(g *globals) *cobra.Command {
	var o connectFlags
	cmd := &cobra.Command{
		Use:     "role NAME PERSON ROLE",
		Short:   "Change what somebody may do in a space",
		Long:    `Role changes what a member may do: ROLE is owner, editor or viewer. PERSON is a name or a key.`,
		Example: `  cloudpal space role family Anna owner`,
		Args:    args(3, 3),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.listMembers(cmd.Context(), api.MembersRequest{Connect: o.request(), Space: a[0], Person: a[1], Role: a[2]})
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func newSpaceRemove(g *globals) *cobra.Command {
	var o connectFlags
	cmd := &cobra.Command{
		Use:   "remove NAME PERSON",
		Short: "Remove somebody from a space",
		Long: `Remove ends the membership of a person with all devices, or that of a mirror. What
they wrote before stays, and so does what they have on their devices; what is written
from then on they cannot read.`,
		Example: `  cloudpal space remove family Bob`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.listMembers(cmd.Context(), api.MembersRequest{Connect: o.request(), Space: a[0], Remove: a[1]})
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func newSpaceSet(g *globals) *cobra.Command {
	var r api.SpaceSettingRequest
	cmd := &cobra.Command{
		Use:   "set NAME [SETTING VALUE]",
		Short: "Change a setting of a space",
		Long: `Set changes a setting for all members:

  name         what the space is called for those who join
  trash-days   how many days deleted files can be restored: 30 if it is not set
  history-days how many days versions that were replaced are kept: for ever if it is not set

With --me you get another name in the space.`,
		Example: `  cloudpal space set family trash-days 90
  cloudpal space set family --me Anna`,
		Args: args(1, 3),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space = a[0]
			if r.Person == "" {
				if err := args(3, 3)(cmd, a); err != nil {
					return err
				}
				r.Name, r.Value = a[1], a[2]
			}
			return g.stream(cmd.Context(), "/v1/space/set", r, g.showSpace)
		},
	}
	cmd.Flags().StringVar(&r.Person, "me", "", "be called this `NAME` in the space")
	return cmd
}

func newSpaceAddMirror(g *globals) *cobra.Command {
	var r api.AddMirrorRequest
	cmd := &cobra.Command{
		Use:   "add-mirror NAME KEY",
		Short: "Have a mirror keep a space",
		Long: `Add-mirror makes a mirror keep a space: an always-on machine that runs "cloudpal mirror",
which prints its KEY. The mirror cannot read what it keeps. Your devices tell it what to
keep while they are online.`,
		Example: `  cloudpal space add-mirror family KEY --called attic`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Space, r.Mirror = a[0], a[1]
			return g.stream(cmd.Context(), "/v1/space/add-mirror", r, g.showSpace)
		},
	}
	cmd.Flags().StringVar(&r.Name, "called", "", "what the mirror is called in the space")
	return cmd
}

func newSpaceLeave(g *globals) *cobra.Command {
	var o connectFlags
	var r api.LeaveRequest
	cmd := &cobra.Command{
		Use:   "leave NAME",
		Short: "Leave a space, or forget it on this device",
		Long: `Leave ends your membership in a space, on all your devices. Files that are in a folder
stay there. With --forget you stay a member, but this device keeps the space no longer.
Either way all that is stored of the space on this device is deleted, and drives that
were published from it: what no other device or mirror has is lost.`,
		Example: `  cloudpal space leave family`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Connect, r.Space = o.request(), a[0]
			return g.stream(cmd.Context(), "/v1/space/leave", r, func(client.Event) error { return nil })
		},
	}
	cmd.Flags().BoolVar(&r.Forget, "forget", false, "stay a member, and only keep it on this device no longer")
	o.add(cmd.Flags())
	return cmd
}
