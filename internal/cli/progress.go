package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tradle/cloudpal/internal/api"
)

// progress draws one bar on a terminal, and nothing elsewhere.
type progress struct {
	out   io.Writer
	draw  bool
	pool  *mpb.Progress
	bar   *mpb.Bar
	last  api.Progress
	phase string
}

func (g *globals) newProgress() *progress {
	return &progress{out: g.stderr, draw: !g.json && !g.quiet && isTerminal(g.stderr)}
}

// isTerminal tells whether w shows a person what is written to it.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

var phases = map[string]string{"connect": "Looking for peers", "import": "Importing", "download": "Downloading", "write": "Writing"}

func (p *progress) update(v *api.Progress) {
	if !p.draw {
		return
	}
	if p.bar == nil || p.phase != v.Phase {
		p.finish()
		p.phase = v.Phase
		p.pool = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(32))
		title := phases[v.Phase]
		if title == "" {
			title = v.Phase
		}
		p.bar = p.pool.AddBar(0,
			mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(title, decor.WC{W: 18, C: decor.DindentRight})),
			mpb.AppendDecorators(
				decor.Any(func(decor.Statistics) string { return p.counts() }),
				decor.AverageSpeed(decor.SizeB1024(0), "  % .1f"),
				decor.Name("  "),
				decor.AverageETA(decor.ET_STYLE_GO),
			))
	}
	p.last = *v
	p.bar.SetTotal(int64(max(v.TotalBytes, v.Bytes+1)), false)
	p.bar.SetCurrent(int64(v.Bytes))
}

// counts says what the bar cannot: how much, of how many files, from how many
// peers.
func (p *progress) counts() string {
	s := size(p.last.Bytes)
	if p.last.TotalBytes > 0 {
		s += " of " + size(p.last.TotalBytes)
	}
	if p.last.TotalFiles > 0 {
		s += fmt.Sprintf(", %d of %s", p.last.Files, count(p.last.TotalFiles, "file"))
	} else if p.last.Files > 0 {
		s += ", " + count(p.last.Files, "file")
	}
	if p.last.Peers > 0 {
		s += ", " + count(uint64(p.last.Peers), "peer")
	}
	return s
}

// print writes a line to the person, above the bar.
func (p *progress) print(format string, args ...any) {
	var w io.Writer = p.out
	if p.pool != nil {
		w = p.pool
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(true)
	p.pool.Wait()
	p.bar, p.pool = nil, nil
}
