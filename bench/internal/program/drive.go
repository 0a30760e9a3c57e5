package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tradle/cloudpal/bench/internal/meter"
	"github.com/tradle/cloudpal/bench/internal/workload"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
	"github.com/tradle/cloudpal/hyper/hyperdrive/mirror"
)

// rangeBytes is the size of the random reads of a large file.
const rangeBytes = 64 << 10

// openDrive is a drive with the store that it is in.
type openDrive struct {
	*hyperdrive.Drive
	store *corestore.Store
}

// newDrive opens the drive that opts name, in dir.
func newDrive(ctx context.Context, dir string, opts hyperdrive.Options) (*openDrive, error) {
	store, err := corestore.Open(ctx, dir, &corestore.Options{Relaxed: true})
	if err != nil {
		return nil, err
	}
	d, err := hyperdrive.Open(ctx, store, &opts)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &openDrive{Drive: d, store: store}, nil
}

func (d *openDrive) Close() error { return errors.Join(d.Drive.Close(), d.store.Close()) }

// appended returns the bytes in both logs.
func (d *openDrive) appended(ctx context.Context) (bytes, blobBlocks uint64, err error) {
	blobs, err := d.Blobs(ctx)
	if err != nil {
		return 0, 0, err
	}
	return d.Core().ByteLength() + blobs.Core().ByteLength(), blobs.Core().Length(), nil
}

// driveWork is a run of drive: import a folder, import it again, read, export.
type driveWork struct {
	io    IO
	src   string
	work  string
	reads int
	batch bool

	drive  *openDrive
	dir    string
	size   int64
	params meter.Fields
	rng    *workload.RNG
}

func drive(ctx context.Context, io IO, args []string) error {
	w := &driveWork{io: io, rng: workload.NewRNG(3)}
	f := io.flags("drive")
	f.StringVar(&w.src, "src", "", "`folder` to import")
	f.StringVar(&w.work, "work", "one", "one, many, edit or edit-dedup")
	f.IntVar(&w.reads, "reads", 500, "random reads of a large file")
	f.BoolVar(&w.batch, "batch", false, "write entries in batches, which is always done")
	if err := f.Parse(args); err != nil {
		return err
	}
	rest, ok := map[string]func(context.Context) error{"one": w.one, "many": w.many, "edit": w.edit, "edit-dedup": w.edit}[w.work]
	if !ok {
		return fmt.Errorf("unknown work %q", w.work)
	}
	var err error
	if w.size, err = meter.DirSize(w.src); err != nil {
		return err
	}
	tmp, remove, err := tempDir("drive")
	if err != nil {
		return err
	}
	defer remove()
	w.dir = filepath.Join(tmp, "store")
	if w.drive, err = newDrive(ctx, w.dir, hyperdrive.Options{}); err != nil {
		return err
	}
	defer w.drive.Close()
	w.params = meter.Fields{"work": w.work, "bytes": w.size}
	if w.batch {
		w.params["batch"] = true
	}
	if err := w.importFirst(ctx); err != nil {
		return err
	}
	return rest(ctx)
}

// measure runs a mirroring and describes it.
func measure(run func() (*mirror.Result, error)) (took time.Duration, extra meter.Fields, err error) {
	cpu, start := meter.CPU(), time.Now()
	r, err := run()
	if err == nil && len(r.Problems) > 0 {
		err = r.Problems[0]
	}
	if err != nil {
		return 0, nil, err
	}
	took = time.Since(start)
	return took, meter.Fields{"ms": meter.Ms(took), "cpu_s": meter.CPU() - cpu, "files": float64(r.Files), "add": float64(r.Added), "change": float64(r.Changed)}, nil
}

func (w *driveWork) importFrom(ctx context.Context, dir string) (time.Duration, meter.Fields, error) {
	return measure(func() (*mirror.Result, error) { return mirror.Import(ctx, dir, w.drive.Drive, nil) })
}

func (w *driveWork) rate(took time.Duration) float64 { return float64(w.size) / 1e6 / took.Seconds() }

func (w *driveWork) importFirst(ctx context.Context) error {
	took, extra, err := w.importFrom(ctx, w.src)
	if err != nil {
		return err
	}
	extra["files_per_s"] = extra["files"].(float64) / took.Seconds()
	extra["rss_mb"], extra["peak_rss_mb"] = meter.RSS(), meter.PeakRSS()
	bytes, blocks, err := w.drive.appended(ctx)
	if err != nil {
		return err
	}
	disk, err := meter.DirSize(w.dir)
	if err != nil {
		return err
	}
	extra["appended_bytes"], extra["blob_blocks"], extra["disk_bytes"] = bytes, blocks, disk
	return w.io.print("drive-import", w.rate(took), "MB/s", w.params, extra)
}

func (w *driveWork) resync(ctx context.Context) error {
	took, extra, err := w.importFrom(ctx, w.src)
	if err != nil {
		return err
	}
	return w.io.print("drive-resync", meter.Ms(took), "ms", w.params, extra)
}

func (w *driveWork) export(ctx context.Context) error {
	out, remove, err := tempDir("drive-out")
	if err != nil {
		return err
	}
	defer remove()
	took, extra, err := measure(func() (*mirror.Result, error) { return mirror.Export(ctx, w.drive.View, out, nil) })
	if err != nil {
		return err
	}
	if n, err := meter.DirSize(out); err != nil || n != w.size {
		return errors.Join(fmt.Errorf("exported %d of %d bytes", n, w.size), err)
	}
	extra["files_per_s"] = extra["files"].(float64) / took.Seconds()
	return w.io.print("drive-export", w.rate(took), "MB/s", w.params, extra)
}

// many lists the drive and reads whole small files.
func (w *driveWork) many(ctx context.Context) error {
	if err := w.resync(ctx); err != nil {
		return err
	}
	cpu, start, n := meter.CPU(), time.Now(), 0
	for _, err := range w.drive.List(ctx, "") {
		if err != nil {
			return err
		}
		n++
	}
	took := time.Since(start)
	if err := w.io.print("drive-list", float64(n)/took.Seconds(), "entries/s", w.params, meter.Fields{"ms": meter.Ms(took), "cpu_s": meter.CPU() - cpu, "n": n}); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(w.src, "*", "*"))
	if err != nil {
		return err
	}
	var lat meter.Latencies
	cpu = meter.CPU()
	for range 2000 {
		name, began := strings.TrimPrefix(filepath.ToSlash(names[w.rng.Intn(uint64(len(names)))]), filepath.ToSlash(w.src)), time.Now()
		b, err := w.drive.Get(ctx, name)
		if err != nil || len(b) != 4096 {
			return errors.Join(fmt.Errorf("get %s: %d bytes", name, len(b)), err)
		}
		lat = append(lat, time.Since(began))
	}
	if err := w.io.print("drive-get-4k", lat.Percentile(0.5), "ms", w.params,
		meter.Fields{"p99_ms": lat.Percentile(0.99), "cpu_s": meter.CPU() - cpu, "gets_per_s": float64(len(lat)) / lat.Sum().Seconds()}); err != nil {
		return err
	}
	return w.export(ctx)
}

// fileName returns the name of the first file of the source.
func (w *driveWork) fileName() (string, error) {
	entries, err := os.ReadDir(w.src)
	if err != nil || len(entries) == 0 {
		return "", errors.Join(fmt.Errorf("no file in %s", w.src), err)
	}
	return entries[0].Name(), nil
}

// one reads ranges of the large file, and all of it.
func (w *driveWork) one(ctx context.Context) error {
	if err := w.resync(ctx); err != nil {
		return err
	}
	name, err := w.fileName()
	if err != nil {
		return err
	}
	var lat meter.Latencies
	cpu := meter.CPU()
	for range w.reads {
		offset, began := int64(w.rng.Intn(uint64(w.size-rangeBytes))), time.Now()
		if err := w.readRange(ctx, name, offset); err != nil {
			return err
		}
		lat = append(lat, time.Since(began))
	}
	ranges := maps.Clone(w.params)
	ranges["reads"] = w.reads
	if err := w.io.print("drive-range64k", lat.Percentile(0.5), "ms", ranges, meter.Fields{"p99_ms": lat.Percentile(0.99), "cpu_s": meter.CPU() - cpu}); err != nil {
		return err
	}
	cpu, start := meter.CPU(), time.Now()
	n, err := w.drive.WriteTo(ctx, "/"+name, io.Discard)
	if err != nil || n != w.size {
		return errors.Join(fmt.Errorf("read %d of %d bytes", n, w.size), err)
	}
	if err := w.io.print("drive-read", w.rate(time.Since(start)), "MB/s", w.params, meter.Fields{"cpu_s": meter.CPU() - cpu}); err != nil {
		return err
	}
	return w.export(ctx)
}

// readRange opens the file and reads one range of it.
func (w *driveWork) readRange(ctx context.Context, name string, offset int64) error {
	r, err := w.drive.Open(ctx, "/"+name)
	if err != nil {
		return err
	}
	defer r.Close()
	if n, err := r.ReadAt(make([]byte, rangeBytes), offset); n != rangeBytes {
		return errors.Join(fmt.Errorf("read %d bytes at %d", n, offset), err)
	}
	return nil
}

// edit changes one byte in the middle of a copy of the file and imports that.
func (w *driveWork) edit(ctx context.Context) error {
	name, err := w.fileName()
	if err != nil {
		return err
	}
	tmp, remove, err := tempDir("edit")
	if err != nil {
		return err
	}
	defer remove()
	content, err := os.ReadFile(filepath.Join(w.src, name))
	if err != nil {
		return err
	}
	content[len(content)/2] ^= 0xff
	if err := os.WriteFile(filepath.Join(tmp, name), content, 0o644); err != nil {
		return err
	}
	before, _, err := w.drive.appended(ctx)
	if err != nil {
		return err
	}
	_, extra, err := w.importFrom(ctx, tmp)
	if err != nil {
		return err
	}
	after, _, err := w.drive.appended(ctx)
	if err != nil {
		return err
	}
	return w.io.print("drive-reput", float64(after-before), "bytes", w.params, extra)
}
