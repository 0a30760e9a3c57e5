package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tradle/cloudpal/internal/api"
)

// progress draws one line on a terminal, and nothing elsewhere: a bar where the
// end is known, and figures.
type progress struct {
	out  io.Writer
	draw bool
	pool *mpb.Progress
	bar  *mpb.Bar
	told map[string]string // what was printed last, by address and by key of peer
	meter
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

var phases = map[string]string{
	"connect": "Looking for peers", "import": "Importing", "download": "Downloading", "serve": "Sending",
	"send": "Sending", "receive": "Receiving",
}

func (p *progress) update(v *api.Progress) {
	if !p.draw {
		return
	}
	if v.Phase == "serve" && v.Peers == 0 {
		p.finish() // nobody is there
		return
	}
	if p.bar == nil || p.last().Phase != v.Phase {
		p.finish()
		p.start(v)
	}
	p.add(v, time.Now())
	p.bar.SetTotal(int64(max(v.TotalBytes, v.Bytes+1)), false)
	p.bar.SetCurrent(int64(v.Bytes))
}

func (p *progress) start(v *api.Progress) {
	p.reset()
	p.pool = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(32))
	title := phases[v.Phase]
	if title == "" {
		title = v.Phase
	}
	style := mpb.NopStyle()
	if v.TotalBytes > 0 || v.Phase == "import" {
		style = mpb.BarStyle()
	}
	p.bar = p.pool.New(0, style,
		mpb.BarRemoveOnComplete(),
		mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(title+" ")),
		// The line is drawn by another goroutine.
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.figures(time.Now()) })))
}

// print writes a line to the person, above the bar.
func (p *progress) print(format string, args ...any) {
	var w io.Writer = p.out
	if p.pool != nil {
		w = p.pool
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// finish takes the line away.
func (p *progress) finish() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(true)
	p.pool.Wait()
	p.bar, p.pool = nil, nil
}
