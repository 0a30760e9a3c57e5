package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// errMissed means that everything ran and some line is below its floor.
var errMissed = errors.New("some lines miss what is asked of them")

// compareOptions are the flags of a comparison.
type compareOptions struct {
	pairs   int
	only    *regexp.Regexp
	quick   bool
	json    bool
	list    bool
	raw     string
	maxLoad float64
	settle  time.Duration
	timeout time.Duration
	node    string
	modules string
	plain   bool
}

func (o *compareOptions) parse(args []string) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.pairs, "pairs", 5, "pairs of runs per work; 1 with --quick")
	only := f.String("only", "", "run only the works whose name, or one of whose lines, matches one of these `regexps` with commas between them")
	f.BoolVar(&o.quick, "quick", false, "little data and one pair: shows that everything runs, judges nothing")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line of the table")
	f.BoolVar(&o.list, "list", false, "print the names of the works and their lines, run nothing")
	f.StringVar(&o.raw, "raw", "", "add every line that a program printed to this `file`")
	f.Float64Var(&o.maxLoad, "max-load", 3, "`load` average above which a pair counts for processor time only")
	f.DurationVar(&o.settle, "settle", 0, "how long to wait, before each pair, for a lower load")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "limit for one run of one program")
	f.StringVar(&o.node, "node", "node", "the Node.js `program`")
	f.StringVar(&o.modules, "modules", "", "`folder` with the JavaScript modules; default interop/node_modules")
	f.BoolVar(&o.plain, "plain-loopback", false, "use the loopback interface of this machine even if programs could have their own")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unknown command %q; see go run ./bench --help", f.Arg(0))
	}
	pairsGiven := false
	f.Visit(func(f *flag.Flag) { pairsGiven = pairsGiven || f.Name == "pairs" })
	if o.quick && !pairsGiven {
		o.pairs = 1
	}
	if o.pairs < 1 {
		return errors.New("--pairs must be at least 1")
	}
	var err error
	o.only, err = regexp.Compile(strings.ReplaceAll(*only, ",", "|"))
	return err
}

// wanted tells whether --only lets the work run.
func (o *compareOptions) wanted(w work) bool {
	if o.only.MatchString(w.name) {
		return true
	}
	for _, l := range w.lines {
		if o.only.MatchString(l.name) {
			return true
		}
	}
	return false
}

func runCompare(ctx context.Context, args []string) error {
	var o compareOptions
	if err := o.parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	data, err := dataFolder()
	if err != nil {
		return err
	}
	if o.modules == "" {
		o.modules = filepath.Join(root, "interop", "node_modules")
	}
	r := &runner{tmp: filepath.Join(data, "run"), kept: filepath.Join(data, "kept"), modules: o.modules, timeout: o.timeout, loopback: !o.plain && canIsolate()}
	sc := fullScale()
	if o.quick {
		sc = quickScale()
	}
	cat, err := newCatalogue(sc, o.node, filepath.Join(root, "bench", "js"), data, r)
	if err != nil {
		return err
	}
	c := &comparison{opts: &o, run: r.run, say: func(text string) { fmt.Fprintln(os.Stderr, text) }, report: &table{w: os.Stdout}}
	if o.json {
		c.report = &jsonLines{enc: json.NewEncoder(os.Stdout)}
	}
	if o.raw != "" {
		raw, err := os.OpenFile(o.raw, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer raw.Close()
		c.raw = raw
	}
	if o.list {
		return list(os.Stdout, &o, cat.works())
	}
	if err := checkJS(o.node, o.modules); err != nil {
		return err
	}
	return errors.Join(c.all(ctx, cat.works()), r.finish())
}

// list prints what --only can choose from.
func list(w io.Writer, o *compareOptions, works []work) error {
	for _, k := range works {
		if !o.wanted(k) {
			continue
		}
		for _, l := range k.lines {
			if _, err := fmt.Fprintf(w, "%-34s %-58s %s\n", k.name, l.name, l.asked()); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkJS tells what to do if the JavaScript side cannot run.
func checkJS(node, modules string) error {
	if _, err := exec.LookPath(node); err != nil {
		return fmt.Errorf("the JavaScript side needs Node.js 20 or later: %w", err)
	}
	if _, err := os.Stat(filepath.Join(modules, "hypercore", "package.json")); err != nil {
		return fmt.Errorf("the JavaScript modules are not installed, run `npm ci` in interop/: %w", err)
	}
	return nil
}

// comparison runs works.
type comparison struct {
	opts   *compareOptions
	run    func(ctx context.Context, c *command, net bool) ([]meter.Line, error)
	load   func() float64 // default meter.Load
	say    func(string)
	report reporter
	raw    io.Writer // nil: not wanted
}

// all runs the works that are wanted and reports on each.
func (c *comparison) all(ctx context.Context, works []work) error {
	if c.load == nil {
		c.load = meter.Load
	}
	var missed, broken, ran int
	for _, w := range works {
		if !c.opts.wanted(w) {
			continue
		}
		ran++
		rows, err := c.work(ctx, w)
		if err != nil {
			return err
		}
		for _, r := range rows {
			switch r.verdict {
			case miss:
				missed++
			case failed:
				broken++
			}
			if err := c.report.row(r); err != nil {
				return err
			}
		}
	}
	switch {
	case ran == 0:
		return errors.New("--only matches nothing; see --list")
	case broken > 0:
		return fmt.Errorf("%d lines could not be measured", broken)
	case missed > 0:
		return errMissed
	}
	return nil
}

// work runs the pairs of one work. A program that fails is in the rows, an error
// is one of this program.
func (c *comparison) work(ctx context.Context, w work) ([]row, error) {
	for _, s := range w.needs {
		if err := s.prepare(ctx, c.say); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return c.rows(w, nil, nil, err), nil
		}
	}
	samples := make([][]sample, len(w.lines))
	var ours []meter.Line
	for i := range c.opts.pairs {
		c.say(fmt.Sprintf("%s: pair %d of %d", w.name, i+1, c.opts.pairs))
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
		load := c.load()
		base, err := c.side(ctx, w, w.base, i)
		if err == nil {
			load = max(load, c.load())
			ours, err = c.side(ctx, w, w.ours, i)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return c.rows(w, samples, ours, err), nil
		}
		for k, l := range w.lines {
			samples[k] = append(samples[k], l.sample(base, ours, load))
		}
	}
	return c.rows(w, samples, ours, nil), nil
}

// side runs one program of pair number i, if there is one.
func (c *comparison) side(ctx context.Context, w work, p *command, i int) ([]meter.Line, error) {
	if p == nil {
		return nil, nil
	}
	load := c.load()
	lines, err := c.run(ctx, p, w.net)
	if err != nil || c.raw == nil {
		return lines, err
	}
	enc := json.NewEncoder(c.raw)
	for _, l := range lines {
		if err := enc.Encode(rawLine{Work: w.name, Side: p.side, Pair: i + 1, Load: load, Line: l}); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// rawLine is what --raw records.
type rawLine struct {
	Work string  `json:"work"`
	Side string  `json:"side"`
	Pair int     `json:"pair"`
	Load float64 `json:"load"`
	meter.Line
}

// wait waits for a lower load, not longer than it was told to.
func (c *comparison) wait(ctx context.Context) error {
	for end := time.Now().Add(c.opts.settle); c.load() > c.opts.maxLoad && time.Now().Before(end); {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// rows judges the lines of a work. printed is what our program printed last, for
// the units.
func (c *comparison) rows(w work, samples [][]sample, printed []meter.Line, err error) []row {
	rows := make([]row, len(w.lines))
	for k, l := range w.lines {
		r := row{work: w.name, line: l, unit: l.unit}
		if w.base != nil {
			r.side = w.base.side
		}
		for _, p := range printed {
			if p.Name == l.output && r.unit == "" {
				r.unit = p.Unit
			}
		}
		if samples != nil {
			r.sum = summarise(samples[k], l.better, c.opts.maxLoad)
		}
		switch {
		case err != nil:
			r.verdict = failed
			if k == 0 {
				r.err = err
			}
		case c.opts.quick:
			if r.verdict = l.verdict(r.sum); r.verdict != failed {
				r.verdict = noFloor
			}
		default:
			r.verdict = l.verdict(r.sum)
		}
		rows[k] = r
	}
	return rows
}
