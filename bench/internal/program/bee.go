package program

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/workload"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// keyStep scatters the keys: key number i*keyStep mod the number of keys, which
// it has no common factor with, is put as the i-th.
const keyStep = 7919

// beeWork is a run of bee: puts one by one, puts in batches, random gets after
// reopening, a scan after another reopening, ranges of 100 keys.
type beeWork struct {
	io     IO
	keys   uint64
	vsize  int
	batch  uint64
	single uint64
	reads  int
	ranges int

	dir  string
	pool *workload.Pool
	rng  *workload.RNG
	core *logStore
	tree *hyperbee.Tree
}

func bee(ctx context.Context, io IO, args []string) error {
	w := &beeWork{io: io}
	f := io.flags("bee")
	f.Uint64Var(&w.keys, "keys", 100000, "keys")
	f.IntVar(&w.vsize, "vsize", 32, "`bytes` per value")
	f.Uint64Var(&w.batch, "batch", 1000, "keys per batch")
	f.Uint64Var(&w.single, "single", 5000, "keys that are put one by one")
	f.IntVar(&w.reads, "reads", 20000, "random gets")
	f.IntVar(&w.ranges, "ranges", 500, "ranges")
	if err := f.Parse(args); err != nil {
		return err
	}
	if w.keys <= 100 || w.keys%keyStep == 0 || w.single > w.keys || w.batch == 0 {
		return fmt.Errorf("flags are out of range: %d keys, %d single, %d per batch", w.keys, w.single, w.batch)
	}
	tmp, remove, err := tempDir("bee")
	if err != nil {
		return err
	}
	defer remove()
	w.dir, w.pool, w.rng = filepath.Join(tmp, "store"), workload.NewPool(), workload.NewRNG(5)
	for _, step := range []func(context.Context) error{w.open, w.putSingle, w.putBatches, w.reopen, w.get, w.reopen, w.scan, w.getRanges, w.close} {
		if err := step(ctx); err != nil {
			w.close(ctx) // the first error counts
			return err
		}
	}
	return nil
}

func (w *beeWork) open(ctx context.Context) (err error) {
	if w.core, err = openLog(ctx, w.dir, hypercore.Options{Relaxed: true}); err != nil {
		return err
	}
	w.tree = hyperbee.New(w.core.Core, nil)
	return nil
}

func (w *beeWork) close(context.Context) error {
	if w.core == nil {
		return nil
	}
	return errors.Join(w.tree.Close(), w.core.Close())
}

func (w *beeWork) reopen(ctx context.Context) error {
	if err := w.close(ctx); err != nil {
		return err
	}
	return w.open(ctx)
}

func beeKey(i uint64) []byte { return fmt.Appendf(nil, "key-%08d", i) }

// entry returns the i-th key and value in the order of the puts.
func (w *beeWork) entry(i uint64) (key, value []byte) {
	return beeKey(i * keyStep % w.keys), w.pool.Block(i, w.vsize)
}

func (w *beeWork) params(more meter.Fields) meter.Fields {
	p := meter.Fields{"keys": w.keys, "vsize": w.vsize}
	for k, v := range more {
		p[k] = v
	}
	return p
}

func (w *beeWork) putSingle(ctx context.Context) error {
	cpu, start := meter.CPU(), time.Now()
	for i := range w.single {
		key, value := w.entry(i)
		if err := w.tree.Put(ctx, key, value, nil); err != nil {
			return err
		}
	}
	if w.single == 0 {
		return nil
	}
	took := time.Since(start)
	return w.io.print("bee-put-single", float64(w.single)/took.Seconds(), "puts/s", w.params(meter.Fields{"single": w.single}),
		meter.Fields{"cpu_s": meter.CPU() - cpu, "block_bytes_per_key": float64(w.core.ByteLength()) / float64(w.single)})
}

func (w *beeWork) putBatches(ctx context.Context) error {
	before := w.core.ByteLength()
	cpu, start := meter.CPU(), time.Now()
	for i := w.single; i < w.keys; i += w.batch {
		if err := w.putBatch(ctx, i, min(w.keys, i+w.batch)); err != nil {
			return err
		}
	}
	took, n := time.Since(start), float64(w.keys-w.single)
	return w.io.print("bee-put-batch", n/took.Seconds(), "puts/s", w.params(meter.Fields{"batch": w.batch}),
		meter.Fields{"ms": meter.Ms(took), "cpu_s": meter.CPU() - cpu, "block_bytes_per_key": float64(w.core.ByteLength()-before) / n,
			"rss_mb": meter.RSS(), "peak_rss_mb": meter.PeakRSS()})
}

func (w *beeWork) putBatch(ctx context.Context, first, end uint64) error {
	b := w.tree.Batch()
	defer b.Close()
	for i := first; i < end; i++ {
		key, value := w.entry(i)
		if err := b.Put(ctx, key, value, nil); err != nil {
			return err
		}
	}
	return b.Flush(ctx)
}

func (w *beeWork) get(ctx context.Context) error {
	disk, err := meter.DirSize(w.dir)
	if err != nil {
		return err
	}
	var lat meter.Latencies
	cpu, start := meter.CPU(), time.Now()
	for range w.reads {
		key, began := beeKey(w.rng.Intn(w.keys)), time.Now()
		_, ok, err := w.tree.Get(ctx, key)
		if err != nil || !ok {
			return errors.Join(fmt.Errorf("get %s: found is %v", key, ok), err)
		}
		lat = append(lat, time.Since(began))
	}
	took := time.Since(start)
	return w.io.print("bee-get", float64(w.reads)/took.Seconds(), "gets/s", w.params(meter.Fields{"reads": w.reads}),
		meter.Fields{"cpu_s": meter.CPU() - cpu, "p50_ms": lat.Percentile(0.5), "p99_ms": lat.Percentile(0.99), "disk_bytes_per_key": float64(disk) / float64(w.keys)})
}

// count reads a range and checks that it has want entries.
func (w *beeWork) count(ctx context.Context, r hyperbee.Range, want uint64) error {
	n := uint64(0)
	for _, err := range w.tree.Entries(ctx, r) {
		if err != nil {
			return err
		}
		n++
	}
	if n != want {
		return fmt.Errorf("range has %d entries, want %d", n, want)
	}
	return nil
}

func (w *beeWork) scan(ctx context.Context) error {
	cpu, start := meter.CPU(), time.Now()
	if err := w.count(ctx, hyperbee.Range{}, w.keys); err != nil {
		return err
	}
	took := time.Since(start)
	return w.io.print("bee-scan", float64(w.keys)/took.Seconds(), "entries/s", w.params(nil), meter.Fields{"ms": meter.Ms(took), "cpu_s": meter.CPU() - cpu})
}

func (w *beeWork) getRanges(ctx context.Context) error {
	var lat meter.Latencies
	cpu, start := meter.CPU(), time.Now()
	for range w.ranges {
		first, began := w.rng.Intn(w.keys-100), time.Now()
		if err := w.count(ctx, hyperbee.Range{GTE: beeKey(first), LT: beeKey(first + 100)}, 100); err != nil {
			return err
		}
		lat = append(lat, time.Since(began))
	}
	took := time.Since(start)
	return w.io.print("bee-range100", lat.Percentile(0.5), "ms", w.params(meter.Fields{"ranges": w.ranges}),
		meter.Fields{"cpu_s": meter.CPU() - cpu, "p99_ms": lat.Percentile(0.99), "entries_per_s": float64(100*w.ranges) / took.Seconds(), "rss_mb": meter.RSS()})
}
