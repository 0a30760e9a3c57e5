package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
)

func newIdentity(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "identity",
		GroupID: "care",
		Short:   "Be the same person on all your devices",
		Long: `An identity is a recovery phrase of 24 words. Everything else follows from it: who
has the words is that person. The device that makes them keeps them, sealed like its own
key, unless it is told to forget them; other devices never have them. Write them
down, and give shares of them to friends in case you lose what you wrote.

A device has a key of its own, which it never gives away, and a proof that it belongs
to the person. A device that is lost is made worthless by "restore" on another.`,
		Example: `  cloudpal identity new
  cloudpal identity show`,
	}
	cmd.AddCommand(newIdentityNew(g), newIdentityShow(g), newIdentityUnlock(g), newIdentityPassphrase(g), newIdentityPhrase(g), newIdentityRestore(g), newIdentityShares(g), newIdentityCombine(g))
	return cmd
}

func newIdentityShow(g *globals) *cobra.Command {
	var check bool
	var p passphraseFlag
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show whose device this is",
		Long: `Show prints the public keys of the person and of this device, since when the device
belongs to the person, how its key is kept, and whether the phrase is kept with it. None of this is a secret, and so is the
proof that --json prints as well.

With --check it also opens the key, and so tells whether the passphrase is right, or
whether the keyring still has what it needs.`,
		Example: `  cloudpal identity show
  cloudpal identity show --check`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runIdentityShow(cmd.Context(), g, check, &p) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "open the key, too")
	p.add(cmd.Flags())
	return cmd
}

func runIdentityShow(ctx context.Context, g *globals, check bool, p *passphraseFlag) error {
	return g.with(ctx, func(c *client.Client) error {
		i, err := one[api.Identity](ctx, c, "/v1/identity/show", api.ShowIdentityRequest{})
		if err != nil {
			return err
		}
		if check {
			var r api.CheckIdentityRequest
			if i.Protection == "passphrase" {
				if r.Passphrase, err = p.read(ctx, g, "Passphrase: "); err != nil {
					return err
				}
			}
			if i, err = one[api.Identity](ctx, c, "/v1/identity/check", r); err != nil {
				return err
			}
		}
		return g.showIdentity(&i)
	})
}

// showIdentity prints an identity.
func (g *globals) showIdentity(i *api.Identity) error {
	if g.json {
		return json.NewEncoder(g.stdout).Encode(i)
	}
	how := map[string]string{"keyring": "in the keyring of this system", "passphrase": "with a passphrase", "plain": "not protected"}[i.Protection]
	phrase := "not kept here"
	if i.PhraseKept {
		phrase = "kept with the key"
	}
	for _, line := range [][2]string{{"person", i.Person}, {"device", i.Device}, {"since", moment(i.Since)}, {"key", how}, {"phrase", phrase}} {
		if err := g.print("%-7s %s", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}

// with connects to a node, asks it, and disconnects.
func (g *globals) with(ctx context.Context, ask func(*client.Client) error) (err error) {
	c, done, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return ask(c)
}

// all sends a request whose answer is events of one type, and returns them.
func all[T any](ctx context.Context, c *client.Client, path string, request any) (list []T, err error) {
	for e, err := range c.Events(ctx, path, request) {
		if err != nil {
			return nil, err
		}
		if e.Type == api.TypeDone {
			continue
		}
		var v T
		if err := e.Decode(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// one is all for an answer of one event.
func one[T any](ctx context.Context, c *client.Client, path string, request any) (v T, err error) {
	list, err := all[T](ctx, c, path, request)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%s: %d answers instead of one", path, len(list))
	}
	if err != nil {
		return v, err
	}
	return list[0], nil
}

func newIdentityUnlock(g *globals) *cobra.Command {
	var p passphraseFlag
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Open the key of this device for the running node",
		Long: `Unlock opens a key that has a passphrase, for as long as "cloudpal up" runs. The node needs
it to make and join spaces, and to let in other devices of yours; "up" asks for it by
itself at a terminal. Without one the passphrase is the first line of standard input.`,
		Example: `  cloudpal identity unlock`,
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd.Context(), func(c *client.Client) error { return g.unlock(cmd.Context(), c, &p) })
		},
	}
	p.add(cmd.Flags())
	return cmd
}

// unlock opens the device's key for the node.
func (g *globals) unlock(ctx context.Context, c *client.Client, p *passphraseFlag) error {
	passphrase, err := p.read(ctx, g, "Passphrase: ")
	if err != nil {
		return err
	}
	_, err = one[api.Identity](ctx, c, "/v1/identity/unlock", api.UnlockRequest{Passphrase: passphrase})
	return err
}
