package program

import (
	"context"
	"errors"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/nodes"
)

// spaceStill has two nodes with many files do nothing. It prints the lines space-many, how
// the files came there, space-idle, what a node takes that has done that, space-rescan, how
// long a node needs after its start to see that nothing changed, and space-idle-again, what
// it takes then.
func spaceStill(ctx context.Context, o IO, args []string) (err error) {
	f := o.flags("space-still")
	var s spaceFlags
	s.add(f)
	src := f.String("src", "", "`folder` to sync, which is not changed")
	after := f.Duration("after", 30*time.Second, "how long the nodes have nothing to do before they are looked at")
	during := f.Duration("during", time.Minute, "how long they are looked at")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, done, err := s.pair(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	t, err := linkTree(*src, p.A.Dir)
	if err != nil {
		return err
	}
	if err := p.Sync(ctx, p.B); err != nil {
		return err
	}
	if err := firstSync(ctx, o, "space-many", t, false, p.A.PID(), p.B.PID(), syncing(ctx, p, p.A, t)); err != nil {
		return err
	}
	if err := idle(ctx, o, "space-idle", p, t, *after, *during); err != nil {
		return err
	}
	if err := p.Close(); err != nil {
		return err
	}
	settle()
	if err := p.A.Start(ctx); err != nil {
		return err
	}
	if err := p.A.Await(ctx, t.entries); err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(p.B.Start(ctx), p.B.Await(ctx, t.entries)); err != nil {
		return err
	}
	took := time.Since(began)
	u, err := meter.UsedBy(p.B.PID())
	if err != nil {
		return err
	}
	if err := o.print("space-rescan", took.Seconds(), "s", meter.Fields{"files": t.files}, meter.Fields{"cpu_s": u.CPU, "peak_rss_mb": u.PeakRSS}); err != nil {
		return err
	}
	return idle(ctx, o, "space-idle-again", p, t, *after, *during)
}

// idle prints what the nodes of a pair take while nothing happens: the memory of the
// larger one in MiB, and the larger share of a processor in percent.
func idle(ctx context.Context, o IO, name string, p *nodes.Pair, t tree, after, during time.Duration) error {
	if err := pause(ctx, after); err != nil {
		return err
	}
	var before, now [2]meter.Used
	look := func(to *[2]meter.Used) (err error) {
		if to[0], err = meter.UsedBy(p.A.PID()); err == nil {
			to[1], err = meter.UsedBy(p.B.PID())
		}
		return err
	}
	if err := look(&before); err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, during), look(&now)); err != nil {
		return err
	}
	percent := func(i int) float64 { return 100 * (now[i].CPU - before[i].CPU) / during.Seconds() }
	return o.print(name, max(now[0].RSS, now[1].RSS), "MiB", meter.Fields{"files": t.files}, meter.Fields{
		"cpu_percent": max(percent(0), percent(1)), "rss_sender_mb": now[0].RSS, "rss_receiver_mb": now[1].RSS})
}
