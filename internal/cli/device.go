package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/cli/qr"
	"github.com/tradle/cloudpal/internal/fault"
)

func newDevice(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "device",
		GroupID: "main",
		Short:   "Your devices: add another one, list and name them, remove one that is lost",
		Long: `All your devices have all your spaces. A device that is added gets a key of its own,
for which one that you have already vouches; the recovery phrase stays where it is.`,
		Example: `  cloudpal device add            on this machine, shows a code
  cloudpal join 4821-guitar-lantern   on the new one`,
	}
	cmd.AddCommand(newDeviceAdd(g), newDeviceLs(g), newDeviceRename(g), newDeviceRemove(g))
	return cmd
}

func newDeviceAdd(g *globals) *cobra.Command {
	var o connectFlags
	var p passphraseFlag
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Show a code with which another machine becomes your device",
		Long: `Add shows a short code and waits until it is typed in on the new machine, after
"cloudpal join". The code is good for one try; should somebody type a wrong one, add
says so and ends. With it the new machine becomes you, so tell it to nobody.`,
		Example: `  cloudpal device add`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.withIdentity(cmd.Context(), &p, func(passphrase string) error {
				r := api.AddDeviceRequest{Connect: o.request(), Passphrase: passphrase}
				return g.stream(cmd.Context(), "/v1/device/add", r, g.showAdded)
			})
		},
	}
	o.add(cmd.Flags())
	p.add(cmd.Flags())
	return cmd
}

func (g *globals) showAdded(e client.Event) error {
	switch e.Type {
	case api.TypeCode:
		var v api.Code
		if err := e.Decode(&v); err != nil {
			return err
		}
		if !g.quiet && isTerminal(g.stdout) { // a picture is for eyes
			if err := qr.Write(g.stdout, strings.ToUpper(v.Code)); err != nil {
				return err
			}
		}
		return g.showCode(e, "cloudpal join")
	case api.TypeMet:
		return g.showMeeting(e)
	case api.TypeAdded:
		var v api.Added
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.print("added: %s", plain(v.Name))
	}
	return nil
}

// withIdentity asks for the passphrase of the device's key, where there is one and the
// running node has not opened it yet.
func (g *globals) withIdentity(ctx context.Context, p *passphraseFlag, do func(passphrase string) error) error {
	var passphrase string
	err := g.with(ctx, func(c *client.Client) error {
		i, err := one[api.Identity](ctx, c, "/v1/identity/show", api.ShowIdentityRequest{})
		if err != nil || i.Protection != "passphrase" {
			return err
		}
		if _, err = one[api.Identity](ctx, c, "/v1/identity/unlock", api.UnlockRequest{}); fault.KindOf(err) == fault.Permission {
			passphrase, err = p.read(ctx, g, "Passphrase: ")
		}
		return err
	})
	if err != nil {
		return err
	}
	return do(passphrase)
}

func newDeviceLs(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List your devices",
		Long:    `Ls lists the devices that are you.`,
		Example: `  cloudpal device ls`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.listDevices(cmd.Context(), api.DevicesRequest{})
		},
	}
}

func (g *globals) listDevices(ctx context.Context, r api.DevicesRequest) error {
	return g.stream(ctx, "/v1/devices", r, g.showDevice)
}

func (g *globals) showDevice(e client.Event) error {
	if e.Type != api.TypeDevice {
		return nil
	}
	var v api.Device
	if err := e.Decode(&v); err != nil {
		return err
	}
	return g.print("%s", deviceLine(&v))
}

func newDeviceRename(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rename NAME NEW",
		Short: "Give one of your devices another name",
		Long: `Rename changes how one of your devices is called, in all your spaces and for all their
members, whether it is online or not. What it wrote before keeps the name from then in
conflict copies that exist already.`,
		Example: `  cloudpal device rename localhost "attic server"`,
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.stream(cmd.Context(), "/v1/device/rename", api.RenameDeviceRequest{Device: a[0], Name: a[1]}, g.showDevice)
		},
	}
}

func newDeviceRemove(g *globals) *cobra.Command {
	var o connectFlags
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a device that is lost or sold",
		Long: `Remove ends the membership of one of your devices in all your spaces. What it has it
keeps, if it is not with you any more; what is written from then on it cannot read.`,
		Example: `  cloudpal device remove "old laptop"`,
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			return g.listDevices(cmd.Context(), api.DevicesRequest{Connect: o.request(), Remove: a[0]})
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func newJoin(g *globals) *cobra.Command {
	var o connectFlags
	var r api.JoinRequest
	var protect protectFlags
	cmd := &cobra.Command{
		Use:     "join INVITE|CODE",
		GroupID: "main",
		Short:   "Join a space of somebody, or make this machine one of your devices",
		Long: `Join with an invite, or with the code that "space invite --code" shows on the other side,
waits until a member lets you in. The space then arrives here and on your other devices.

On a machine that belongs to nobody yet, a code is that of "device add": the machine
becomes one of your devices and gets all your spaces.`,
		Example: `  cloudpal join cloudpal://invite/…
  cloudpal join 4821-guitar-lantern`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			r.Connect, r.Ref = o.request(), a[0]
			return runJoin(cmd.Context(), g, &r, &protect)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Name, "name", "", "what the space is called here (default: as the others call it)")
	f.StringVar(&r.Device, "device", "", "what this device is called (default: its host name)")
	protect.add(f)
	o.add(f)
	f.DurationVar(&o.timeout, "timeout", 0, "give up after this `DURATION`; 0 is never")
	return cmd
}

func runJoin(ctx context.Context, g *globals, r *api.JoinRequest, protect *protectFlags) error {
	if err := api.CheckInvite(r.Ref); err != nil {
		return err
	}
	err := g.with(ctx, func(c *client.Client) error {
		_, err := one[api.Identity](ctx, c, "/v1/identity/show", api.ShowIdentityRequest{})
		switch {
		case err == nil:
			return nil
		case fault.KindOf(err) != fault.NotFound:
			return err
		case !api.IsCode(r.Ref):
			return g.becomeSomebody(ctx, c, &newFlags{protectFlags: *protect})
		}
		r.KeyProtection, err = protect.choose(ctx, g, c)
		return err
	})
	if err != nil {
		return err
	}
	if !g.json && !g.quiet {
		waits := "waiting until a member who is online lets this device in; press Ctrl-C to stop"
		if api.IsCode(r.Ref) {
			waits = "looking for the machine that shows this code now; press Ctrl-C to stop"
		}
		g.newProgress().print("%s", waits)
	}
	return g.stream(ctx, "/v1/join", r, g.showJoined)
}

func (g *globals) showJoined(e client.Event) error {
	switch e.Type {
	case api.TypeMet:
		return g.showMeeting(e)
	case api.TypeSpace:
		var v api.Space
		if err := e.Decode(&v); err != nil {
			return err
		}
		if v.Home {
			return g.print("this machine is one of your devices now")
		}
		return g.print("joined: %s", spaceLine(&v))
	}
	return nil
}
