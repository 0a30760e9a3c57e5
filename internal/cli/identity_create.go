package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

// passphraseFlag says where a passphrase comes from.
type passphraseFlag struct{ file string }

func (p *passphraseFlag) add(f *pflag.FlagSet) {
	f.StringVar(&p.file, "passphrase-file", "", "read the passphrase from this `FILE` instead of asking for it")
}

func (p *passphraseFlag) read(ctx context.Context, g *globals, prompt string) (string, error) {
	if p.file != "" {
		return secretFile(p.file)
	}
	return g.secret(ctx, prompt)
}

// protectFlags say how to keep the device's key.
type protectFlags struct {
	protect string
	passphraseFlag
}

func (p *protectFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.protect, "protect", "", "keep the device's key by `WAY`: keyring, passphrase or plain (default: keyring if this system has one, else passphrase)")
	p.passphraseFlag.add(f)
}

// choose finds the way and the passphrase.
func (p *protectFlags) choose(ctx context.Context, g *globals, c *client.Client) (k api.KeyProtection, err error) {
	way := p.protect
	if way == "" && p.file != "" {
		way = "passphrase"
	}
	if way == "" {
		ring, err := one[api.Keyring](ctx, c, "/v1/identity/keyring", api.KeyringRequest{})
		if err != nil {
			return k, err
		}
		if way = "passphrase"; ring.Available {
			way = "keyring"
		}
	}
	if k.Protection = way; way != "passphrase" {
		return k, nil
	}
	if k.Passphrase, err = p.read(ctx, g, "Passphrase for the key of this device: "); err != nil || p.file != "" || !g.atTerminal() {
		if err == nil && k.Passphrase == "" {
			err = fault.New(fault.Usage, "the key of this device is to have a passphrase, and there is none").
				Hint("type it at a terminal, or name a file that has it: --passphrase-file FILE").
				Hint("or leave the key unprotected: --protect plain")
		}
		return k, err
	}
	again, err := g.secret(ctx, "The same again: ")
	if err == nil && again != k.Passphrase {
		err = fault.New(fault.Usage, "the two are not the same")
	}
	return k, err
}

// newFlags say how to make an identity.
type newFlags struct {
	protectFlags
	forget bool
}

func (n *newFlags) add(f *pflag.FlagSet) {
	n.protectFlags.add(f)
	f.BoolVar(&n.forget, "forget-phrase", false, "do not keep the recovery phrase on this device")
}

func newIdentityNew(g *globals) *cobra.Command {
	var p newFlags
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Become somebody, with a new recovery phrase",
		Long: `New makes a recovery phrase of 24 words and prints it. Write it down. This device
gets a key of its own and becomes the first one of the person. The phrase is kept with
that key, and "identity phrase" shows it again, unless --forget-phrase says not to or
the key is not protected.

The device's key is kept in the keyring of this system; where there is none, in a file
that is sealed with a passphrase. Without a terminal the passphrase is the first line
of standard input, unless --passphrase-file names a file that has it. With
"--protect plain" whoever can read the file is this device.`,
		Example: `  cloudpal identity new
  cloudpal identity new --protect passphrase`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runIdentityNew(cmd.Context(), g, &p) },
	}
	p.add(cmd.Flags())
	return cmd
}

func runIdentityNew(ctx context.Context, g *globals, p *newFlags) error {
	return g.with(ctx, func(c *client.Client) error { return g.becomeSomebody(ctx, c, p) })
}

// becomeSomebody makes an identity and shows it with its phrase.
func (g *globals) becomeSomebody(ctx context.Context, c *client.Client, p *newFlags) error {
	k, err := p.choose(ctx, g, c)
	if err != nil {
		return err
	}
	advice := "write these words down: they are you"
	if p.forget || k.Protection == "plain" {
		advice += ", and are not shown again"
	}
	for e, err := range c.Events(ctx, "/v1/identity/new", api.NewIdentityRequest{KeyProtection: k, ForgetPhrase: p.forget}) {
		if err != nil {
			return err
		}
		if err := g.showCreated(e, advice); err != nil {
			return err
		}
	}
	return nil
}

func (g *globals) showCreated(e client.Event, advice string) error {
	switch e.Type {
	case api.TypePhrase:
		var v api.Phrase
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.showPhrase(&v, advice)
	case api.TypeIdentity:
		var v api.Identity
		if err := e.Decode(&v); err != nil {
			return err
		}
		return g.showIdentity(&v)
	}
	return nil
}

func newIdentityRestore(g *globals) *cobra.Command {
	var p protectFlags
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Come back with the recovery phrase, on a new device",
		Long: `Restore makes this device one of the person whose recovery phrase you type in. The
phrase is not kept. Without a terminal it is the first line of standard input, and
the passphrase for the device's key, if there is one, the second.

Devices that you had before are no longer yours for everybody who has seen the new
one. That is what you want if they are lost.`,
		Example: `  cloudpal identity restore
  cloudpal identity combine ann.txt bob.txt eve.txt | cloudpal identity restore --passphrase-file FILE`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runIdentityRestore(cmd.Context(), g, &p) },
	}
	p.add(cmd.Flags())
	return cmd
}

func runIdentityRestore(ctx context.Context, g *globals, p *protectFlags) error {
	phrase, err := g.visibleSecret(ctx, "Recovery phrase: ")
	if err != nil {
		return err
	}
	return g.with(ctx, func(c *client.Client) error {
		k, err := p.choose(ctx, g, c)
		if err != nil {
			return err
		}
		i, err := one[api.Identity](ctx, c, "/v1/identity/restore", api.RestoreIdentityRequest{Phrase: phrase, KeyProtection: k})
		if err != nil {
			return err
		}
		return g.showIdentity(&i)
	})
}

// showPhrase prints a phrase, and to the person what to do with it.
func (g *globals) showPhrase(p *api.Phrase, advice string) error {
	if g.json {
		return json.NewEncoder(g.stdout).Encode(p)
	}
	if err := g.print("%s", p.Phrase); err != nil {
		return err
	}
	if !g.quiet {
		g.newProgress().print("%s", advice)
	}
	return nil
}
