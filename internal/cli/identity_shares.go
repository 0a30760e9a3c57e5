package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/cli/qr"
	"github.com/tradle/cloudpal/internal/fault"
)

type sharesOptions struct {
	needed, count int
	qr            bool
}

func newIdentityShares(g *globals) *cobra.Command {
	var o sharesOptions
	cmd := &cobra.Command{
		Use:   "shares",
		Short: "Split the recovery phrase into shares for friends",
		Long: `Shares reads the recovery phrase and prints shares of it, one a line. Give each to
another friend. Some of them together, as many as --needed says, restore the phrase
with "combine"; fewer tell nothing at all about it. A share does not say whose phrase
it is a part of, so tell your friends.

Nothing of this is stored. Running it again makes another set: shares of two sets do
not go together. Without a terminal the phrase is read from standard input.`,
		Example: `  cloudpal identity shares --needed 3 --count 5
  cloudpal identity shares --qr`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runIdentityShares(cmd.Context(), g, &o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.needed, "needed", 3, "how many shares restore the phrase: `N`")
	f.IntVar(&o.count, "count", 5, "how many shares to make: `N`")
	f.BoolVar(&o.qr, "qr", false, "draw each share as a QR code, too")
	return cmd
}

func runIdentityShares(ctx context.Context, g *globals, o *sharesOptions) error {
	phrase, err := g.visibleSecret(ctx, "Recovery phrase: ")
	if err != nil {
		return err
	}
	return g.with(ctx, func(c *client.Client) error {
		list, err := all[api.PhraseShare](ctx, c, "/v1/identity/shares", api.SplitPhraseRequest{Phrase: phrase, Needed: o.needed, Count: o.count})
		if err != nil {
			return err
		}
		for _, s := range list {
			if err := g.showPhraseShare(&s, o.qr); err != nil {
				return err
			}
		}
		if !g.quiet && !g.json {
			g.newProgress().print("give each to another friend; %d of the %d restore the phrase", o.needed, o.count)
		}
		return nil
	})
}

func (g *globals) showPhraseShare(s *api.PhraseShare, draw bool) error {
	if g.json {
		return json.NewEncoder(g.stdout).Encode(s)
	}
	if draw {
		if err := qr.Write(g.stdout, api.ForQR(s.Share)); err != nil {
			return err
		}
	}
	return g.print("%s", s.Share)
}

func newIdentityCombine(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "combine [FILE]...",
		Short: "Restore the recovery phrase from shares of friends",
		Long: `Combine reads shares, one a line, from the files or from standard input, and prints
the recovery phrase if there are enough of them. At a terminal, end with an empty
line. A share that is wrong is noticed, and one right share more makes up for it.

The phrase is not stored: go on with "restore".`,
		Example: `  cloudpal identity combine ann.txt bob.txt eve.txt
  cloudpal identity combine ann.txt bob.txt eve.txt | cloudpal identity restore --passphrase-file FILE`,
		Args: args(0, -1),
		RunE: func(cmd *cobra.Command, a []string) error { return runIdentityCombine(cmd.Context(), g, a) },
	}
}

// maxShares bounds what is read as shares.
const maxShares = 100

func runIdentityCombine(ctx context.Context, g *globals, files []string) error {
	shares, err := g.readShares(ctx, files)
	if err != nil {
		return err
	}
	if len(shares) == 0 {
		return fault.New(fault.Usage, "there are no shares").Hint("name the files that have them, or give them on standard input, one a line")
	}
	return g.with(ctx, func(c *client.Client) error {
		phrase, err := one[api.Phrase](ctx, c, "/v1/identity/combine", api.CombineRequest{Shares: shares})
		if err != nil {
			return err
		}
		return g.showPhrase(&phrase, "on a new device: cloudpal identity restore")
	})
}

func (g *globals) readShares(ctx context.Context, files []string) (shares []string, err error) {
	for _, name := range files {
		text, err := secretFile(name)
		if err != nil {
			return nil, err
		}
		for in := bufio.NewScanner(strings.NewReader(text)); in.Scan(); {
			if line := strings.TrimSpace(in.Text()); line != "" {
				shares = append(shares, line)
			}
		}
	}
	if len(files) == 0 {
		if shares, err = g.typedShares(ctx); err != nil {
			return nil, err
		}
	}
	if len(shares) > maxShares {
		return nil, fault.New(fault.Usage, "%d lines are too many shares", len(shares))
	}
	return shares, nil
}

// typedShares reads shares from a person until an empty line, or all of another
// standard input.
func (g *globals) typedShares(ctx context.Context) (shares []string, err error) {
	if !g.atTerminal() {
		text, err := interruptible(ctx, func() (string, error) {
			b, err := io.ReadAll(io.LimitReader(g.stdin, maxShares*maxLine))
			return string(b), err
		})
		return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), err
	}
	for {
		line, err := g.visibleSecret(ctx, "Share: ")
		if err != nil || strings.TrimSpace(line) == "" {
			return shares, err
		}
		shares = append(shares, line)
	}
}
