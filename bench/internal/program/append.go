package program

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/workload"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/storage"
)

// appendWork are the flags of core-append. Durable, appenders and logs exist in
// Go only.
type appendWork struct {
	size, batch, count int
	keep               string
	durable            bool
	appenders, logs    int
}

// coreAppend appends count blocks to a new log, batch per call, each call
// awaited before the next.
func coreAppend(ctx context.Context, io IO, args []string) error {
	var w appendWork
	f := io.flags("core-append")
	f.IntVar(&w.size, "size", 100, "`bytes` per block")
	f.IntVar(&w.batch, "batch", 1, "blocks per append")
	f.IntVar(&w.count, "count", 100000, "blocks")
	f.StringVar(&w.keep, "keep", "", "make the log in this `folder` and keep it")
	f.BoolVar(&w.durable, "durable", false, "sync before an append returns")
	f.IntVar(&w.appenders, "appenders", 1, "goroutines that append")
	f.IntVar(&w.logs, "logs", 1, "logs of one store that they share")
	if err := f.Parse(args); err != nil {
		return err
	}
	if w.size < 0 || w.batch < 1 || w.count < 1 || w.logs < 1 || w.appenders < w.logs {
		return fmt.Errorf("flags are out of range: %+v", w)
	}
	dir := w.keep
	if dir == "" {
		tmp, remove, err := tempDir("append")
		if err != nil {
			return err
		}
		defer remove()
		dir = filepath.Join(tmp, "store")
	}
	return w.run(ctx, io, dir)
}

func (w *appendWork) run(ctx context.Context, io IO, dir string) error {
	db, err := storage.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	cores := make([]*hypercore.Core, w.logs)
	for i := range cores {
		if cores[i], err = hypercore.Open(ctx, db, &hypercore.Options{Relaxed: !w.durable}); err != nil {
			return err
		}
		defer cores[i].Close()
	}
	pool := workload.NewPool()
	parts := make([]appender, w.appenders)
	for i := range parts {
		parts[i] = appender{core: cores[i%w.logs], pool: pool, work: w, first: w.count * i / w.appenders, end: w.count * (i + 1) / w.appenders}
	}

	cpu, start := meter.CPU(), time.Now()
	var g errgroup.Group
	for i := range parts {
		g.Go(func() error { return parts[i].run(ctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(start)
	cpu = meter.CPU() - cpu
	rss, peak := meter.RSS(), meter.PeakRSS()
	var lat meter.Latencies
	var building time.Duration
	for i := range parts {
		lat = append(lat, parts[i].lat...)
		building += parts[i].building
	}
	took -= building / time.Duration(w.appenders)

	closing := time.Now()
	for _, c := range cores {
		if err := c.Close(); err != nil {
			return err
		}
	}
	if err := db.Close(); err != nil {
		return err
	}
	closeMs := meter.Ms(time.Since(closing))
	disk, err := meter.DirSize(dir)
	if err != nil {
		return err
	}
	count := float64(w.count)
	return io.print("core-append", count/took.Seconds(), "blocks/s", w.params(), meter.Fields{
		"mb_per_s": count * float64(w.size) / 1e6 / took.Seconds(), "ms": meter.Ms(took), "cpu_s": cpu, "rss_mb": rss, "peak_rss_mb": peak,
		"close_ms": closeMs, "p50_ms": lat.Percentile(0.5), "p99_ms": lat.Percentile(0.99),
		"disk_bytes_per_block": float64(disk) / count, "disk_overhead_per_block": float64(disk)/count - float64(w.size),
		"append_calls": float64(len(lat)),
	})
}

func (w *appendWork) params() meter.Fields {
	p := meter.Fields{"size": w.size, "batch": w.batch, "count": w.count}
	if w.durable {
		p["durable"] = true
	}
	if w.appenders > 1 {
		p["appenders"], p["logs"] = w.appenders, w.logs
	}
	return p
}

// appender appends the blocks [first, end).
type appender struct {
	core       *hypercore.Core
	pool       *workload.Pool
	work       *appendWork
	first, end int

	lat      meter.Latencies
	building time.Duration
}

func (a *appender) run(ctx context.Context) error {
	batch := make([][]byte, 0, a.work.batch)
	for i := a.first; i < a.end; i += a.work.batch {
		start := time.Now()
		batch = batch[:0]
		for j := i; j < min(a.end, i+a.work.batch); j++ {
			batch = append(batch, a.pool.Block(uint64(j), a.work.size))
		}
		built := time.Now()
		a.building += built.Sub(start)
		if _, err := a.core.Append(ctx, batch...); err != nil {
			return err
		}
		a.lat = append(a.lat, time.Since(built))
	}
	return nil
}
