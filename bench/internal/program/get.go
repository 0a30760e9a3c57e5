package program

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/workload"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// coreGet reads random blocks of a log, which is made first if dir lacks it, and
// reopened.
func coreGet(ctx context.Context, io IO, args []string) error {
	f := io.flags("core-get")
	size := f.Int("size", 100, "`bytes` per block")
	count := f.Uint64("count", 100000, "blocks")
	reads := f.Int("reads", 50000, "random reads")
	inflight := f.Int("inflight", 1, "reads at the same time")
	dir := f.String("dir", "", "`folder` of the log")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		tmp, remove, err := tempDir("get")
		if err != nil {
			return err
		}
		defer remove()
		*dir = tmp
	}
	if err := fillLog(ctx, *dir, *size, *count); err != nil {
		return err
	}
	core, err := openLog(ctx, *dir, hypercore.Options{})
	if err != nil {
		return err
	}
	defer core.Close()

	rng := workload.NewRNG(42)
	indexes := make([]uint64, *reads)
	for i := range indexes {
		indexes[i] = rng.Intn(*count)
	}
	lat := make(meter.Latencies, *reads)
	var next atomic.Int64
	cpu, start := meter.CPU(), time.Now()
	var g errgroup.Group
	for range *inflight {
		g.Go(func() error {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(indexes) {
					return nil
				}
				began := time.Now()
				b, err := core.Get(ctx, indexes[n])
				if err != nil {
					return err
				}
				lat[n] = time.Since(began)
				if len(b) != *size || *size >= 8 && binary.LittleEndian.Uint32(b) != uint32(indexes[n]) {
					return fmt.Errorf("block %d is not what was appended", indexes[n])
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took := time.Since(start)
	cpu = meter.CPU() - cpu
	return io.print("core-get", float64(*reads)/took.Seconds(), "gets/s",
		meter.Fields{"size": *size, "count": *count, "reads": *reads, "inflight": *inflight},
		meter.Fields{"p50_ms": lat.Percentile(0.5), "p99_ms": lat.Percentile(0.99), "cpu_s": cpu, "rss_mb": meter.RSS(),
			"mb_per_s": float64(*reads) * float64(*size) / 1e6 / took.Seconds()})
}

// fillLog appends to the log in dir what it lacks of count blocks.
func fillLog(ctx context.Context, dir string, size int, count uint64) (err error) {
	core, err := openLog(ctx, dir, hypercore.Options{Relaxed: true})
	if err != nil {
		return err
	}
	defer func() {
		if e := core.Close(); err == nil {
			err = e
		}
	}()
	pool := workload.NewPool()
	batch := make([][]byte, 0, max(1, min(1000, 4_000_000/max(1, size))))
	for core.Length() < count {
		first := core.Length()
		batch = batch[:0]
		for i := first; i < min(count, first+uint64(cap(batch))); i++ {
			batch = append(batch, pool.Block(i, size))
		}
		if _, err := core.Append(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}
