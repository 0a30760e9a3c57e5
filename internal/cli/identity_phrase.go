package cli

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

type identityPhraseOptions struct {
	passphraseFlag
	yes, forget bool
}

func newIdentityPhrase(g *globals) *cobra.Command {
	var o identityPhraseOptions
	cmd := &cobra.Command{
		Use:   "phrase",
		Short: "Show the recovery phrase again, where it was made",
		Long: `Phrase shows the recovery phrase if this device keeps it: the device that made it
does, unless it was told not to. It asks before it shows the words, and for the
passphrase if there is one. The words go to a terminal only, unless --yes.

With --forget the device keeps the phrase no longer, and nothing is shown. Whoever then
steals the device, and opens its key, cannot become you. Be sure that you have the words
elsewhere.`,
		Example: `  cloudpal identity phrase
  cloudpal identity phrase --forget`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runIdentityPhrase(cmd.Context(), g, &o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.yes, "yes", false, "do not ask, and write the words to whatever the output is")
	f.BoolVar(&o.forget, "forget", false, "keep the phrase on this device no longer")
	o.passphraseFlag.add(f)
	return cmd
}

func runIdentityPhrase(ctx context.Context, g *globals, o *identityPhraseOptions) error {
	return g.with(ctx, func(c *client.Client) error {
		i, err := one[api.Identity](ctx, c, "/v1/identity/show", api.ShowIdentityRequest{})
		if err != nil {
			return err
		}
		question := "Whoever sees the words is you. Show them? [y/N] "
		if o.forget {
			question = "Without the words nobody brings you back if all your devices are lost. Forget them here? [y/N] "
		}
		if err := g.confirm(ctx, o.yes, !o.forget, question); err != nil {
			return err
		}
		var passphrase string
		if i.Protection == "passphrase" && i.PhraseKept {
			if passphrase, err = o.read(ctx, g, "Passphrase: "); err != nil {
				return err
			}
		}
		if o.forget {
			if i, err = one[api.Identity](ctx, c, "/v1/identity/forget", api.ForgetPhraseRequest{Passphrase: passphrase}); err != nil {
				return err
			}
			return g.showIdentity(&i)
		}
		p, err := one[api.Phrase](ctx, c, "/v1/identity/phrase", api.RevealPhraseRequest{Passphrase: passphrase})
		if err != nil {
			return err
		}
		return g.showPhrase(&p, "keep these words where nobody sees them")
	})
}

// confirm asks a person unless yes is set. Without a person to ask, or, with reveal,
// without a terminal to show a secret on, it refuses.
func (g *globals) confirm(ctx context.Context, yes, reveal bool, question string) error {
	if yes {
		return nil
	}
	out, ok := g.stdout.(*os.File)
	if reveal && (!ok || !term.IsTerminal(int(out.Fd()))) {
		return fault.New(fault.Usage, "the words would not go to a terminal").Hint("if that is meant, say --yes")
	}
	if !g.atTerminal() {
		return fault.New(fault.Usage, "there is no terminal to ask at").Hint("if it is meant, say --yes")
	}
	line, err := g.ask(ctx, "%s", question)
	if err != nil {
		return err
	}
	if !strings.EqualFold(line, "y") && !strings.EqualFold(line, "yes") {
		return fault.New(fault.Canceled, "nothing was done").Hint("answer y if it is meant")
	}
	return nil
}

type identityPassphraseOptions struct {
	old     passphraseFlag
	protect string
	file    string
}

func newIdentityPassphrase(g *globals) *cobra.Command {
	var o identityPassphraseOptions
	cmd := &cobra.Command{
		Use:   "passphrase",
		Short: "Change the passphrase of this device, or how its key is kept",
		Long: `Passphrase seals the key of this device, and the recovery phrase if it is kept with it,
with a new passphrase, or with --protect in the keyring of the system. The key stays
the same. Copies of the old file, as in backups, still open with the old passphrase.

Without a terminal the old passphrase, if there is one, is the first line of standard
input and the new one the next, unless files are named that have them. With
"--protect plain" whoever can read the file is this device; the recovery phrase must
not be kept then, see "identity phrase --forget".`,
		Example: `  cloudpal identity passphrase
  cloudpal identity passphrase --protect keyring`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runIdentityPassphrase(cmd.Context(), g, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.protect, "protect", "passphrase", "keep the key by this `WAY`: keyring, passphrase or plain")
	f.StringVar(&o.file, "new-passphrase-file", "", "read the new passphrase from this `FILE` instead of asking for it")
	o.old.add(f)
	return cmd
}

func runIdentityPassphrase(ctx context.Context, g *globals, o *identityPassphraseOptions) error {
	return g.with(ctx, func(c *client.Client) error {
		i, err := one[api.Identity](ctx, c, "/v1/identity/show", api.ShowIdentityRequest{})
		if err != nil {
			return err
		}
		var r api.ProtectIdentityRequest
		if i.Protection == "passphrase" {
			if r.Old, err = o.old.read(ctx, g, "Passphrase until now: "); err != nil {
				return err
			}
			// A wrong one shall not be told after two new ones.
			if _, err := one[api.Identity](ctx, c, "/v1/identity/check", api.CheckIdentityRequest{Passphrase: r.Old}); err != nil {
				return err
			}
		}
		p := protectFlags{protect: o.protect, passphraseFlag: passphraseFlag{o.file}}
		if r.KeyProtection, err = p.choose(ctx, g, c); err != nil {
			return err
		}
		if i, err = one[api.Identity](ctx, c, "/v1/identity/protect", r); err != nil {
			return err
		}
		return g.showIdentity(&i)
	})
}
