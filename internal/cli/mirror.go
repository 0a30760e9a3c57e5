package cli

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

type mirrorOptions struct {
	connectFlags
	trusted     []string
	trustedOnly bool
	quota       byteSize
	clientQuota byteSize
}

func newMirror(g *globals) *cobra.Command {
	var o mirrorOptions
	cmd := &cobra.Command{
		Use:     "mirror",
		GroupID: "main",
		Short:   "Keep and serve what others ask for, without being able to read it",
		Long: `Mirror keeps logs for others, day and night, so that their machines exchange what is
new without ever being online together. It sees keys, sizes, times and addresses, and
of encrypted drives and bases nothing of what is in them. It prints its public key,
which others name with --mirror, as programs in JavaScript with blind-peering do.

Everybody may ask it to keep something unless --trusted-only. What a trusted node asks
for has no limit of its own, is never pushed out by others, may be announced so that it
is found without naming the mirror, and may be deleted ("mirror rm"). A node is named by
its id, which "cloudpal info" prints.

When --quota is reached what was not used for the longest time makes room. The mirror
keeps its data and its key in a folder of its own in $CLOUDPAL_HOME.`,
		Example: `  cloudpal mirror --trust KEY --quota 500GB
  cloudpal share Photos --mirror KEY`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runMirror(cmd.Context(), g, &o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.trusted, "trust", nil, "trust the node with this public `KEY` (repeatable)")
	f.BoolVar(&o.trustedOnly, "trusted-only", false, "keep nothing for nodes that are not trusted")
	f.Var(&o.quota, "quota", "keep at most this many bytes, such as 500GB or 20GiB (default 100GB)")
	f.Var(&o.clientQuota, "client-quota", "at most this many for one node that is not trusted (default a tenth of the quota)")
	o.connectFlags.add(f)
	cmd.AddCommand(newMirrorRm(g))
	return cmd
}

func runMirror(ctx context.Context, g *globals, o *mirrorOptions) error {
	r := api.MirrorRequest{Connect: o.connectFlags.request(), Trusted: o.trusted, TrustedOnly: o.trustedOnly,
		MaxBytes: uint64(o.quota), MaxBytesPerClient: uint64(o.clientQuota)}
	r.Mirrors = nil
	return interrupted(ctx, g.stream(ctx, "/v1/mirror", r, func(e client.Event) error {
		switch e.Type {
		case api.TypeMirroring:
			var v api.Mirroring
			if err := e.Decode(&v); err != nil {
				return err
			}
			if err := g.print("%s", v.Key); err != nil {
				return err
			}
			if !g.quiet {
				g.newProgress().print("running; others use it with --mirror %s; press Ctrl-C to stop", v.Key)
			}
		case api.TypeMirrorStats:
			var v api.MirrorStats
			if err := e.Decode(&v); err != nil {
				return err
			}
			if !g.quiet {
				g.newProgress().print("%s of %s, %s of %s, %s", count(uint64(v.Logs), "log"), count(uint64(v.Clients), "node"), size(v.Bytes), size(v.MaxBytes),
					count(uint64(v.Connections), "connection"))
			}
		}
		return nil
	}))
}

func newMirrorRm(g *globals) *cobra.Command {
	var o connectFlags
	cmd := &cobra.Command{
		Use:   "rm LINK... --mirror KEY",
		Short: "Have mirrors delete drives",
		Long: `Rm has mirrors delete their copies of drives. They do so for nodes that they trust
only. Here nothing changes, and whoever shares or seeds the drive with that mirror
brings it back.`,
		Example: `  cloudpal mirror rm Photos --mirror KEY`,
		Args:    args(1, -1),
		RunE: func(cmd *cobra.Command, a []string) error {
			dir, err := here()
			if err != nil {
				return err
			}
			r := api.UnmirrorRequest{Connect: o.request(), Refs: a, Dir: dir}
			return g.stream(cmd.Context(), "/v1/unmirror", r, func(e client.Event) error {
				if e.Type != api.TypeUnmirrored {
					return nil
				}
				var v api.Unmirrored
				if err := e.Decode(&v); err != nil {
					return err
				}
				what := "had no"
				if v.Existed {
					what = "deleted its"
				}
				return g.print("%s  %s copy of %s", v.Mirror, what, v.Link)
			})
		},
	}
	o.add(cmd.Flags())
	o.addTimeout(cmd.Flags())
	return cmd
}

// mirroredText says in words how a mirror is doing.
func mirroredText(v *api.Mirrored) string {
	switch {
	case v.Complete:
		return "mirror " + v.Mirror + " has everything"
	case v.Reached:
		return "connected to mirror " + v.Mirror
	}
	return "lost the connection to mirror " + v.Mirror
}

// byteSize is a number of bytes with a unit.
type byteSize uint64

var units = []struct {
	suffix string
	factor float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"b", 1}, {"", 1},
}

// Set implements pflag.Value.
func (b *byteSize) Set(text string) error {
	low := strings.ToLower(strings.TrimSpace(text))
	for _, u := range units {
		digits, ok := strings.CutSuffix(low, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || math.IsNaN(n) || n*u.factor < 1 || n*u.factor > 1<<53 {
			break
		}
		*b = byteSize(n * u.factor)
		return nil
	}
	return fault.New(fault.Usage, "%q is no size; write 500GB or 20GiB", text)
}

// String implements pflag.Value.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*b), 10)
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "SIZE" }
