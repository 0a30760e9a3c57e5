package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"golang.org/x/sys/unix"
)

// The benchmark of docs/decisions/0001-block-storage.md: blocks of 64 KiB in
// segment files against the value separation of the database.

const (
	sepBlock = 64 << 10
	sepBatch = 16
	sepCount = 8192 // 512 MiB
)

// blockStore is one of the two candidates.
type blockStore interface {
	// appendBlocks stores a batch, without waiting for the disk.
	appendBlocks(start uint64, blocks [][]byte) error
	// appendSmall stores 100 bytes and waits for the disk.
	appendSmall(i uint64, data []byte) error
	// clear removes blocks, every one in [start, end) that is a multiple of step.
	clear(start, end, step uint64) error
	// tidy asks for the space of what was removed; it may come later.
	tidy() error
	close() error
}

var blockStores = map[string]func(dir string) (blockStore, error){
	"segments":        openOurs,
	"valueSeparation": openSeparated,
}

type ours struct {
	db           *DB
	large, small *Core
}

func openOurs(dir string) (blockStore, error) {
	db, err := Open(dir, nil)
	if err != nil {
		return nil, err
	}
	s := &ours{db: db}
	for i, c := range []**Core{&s.large, &s.small} {
		if *c, err = db.Core(dkOf(i + 1)); err == nil {
			continue
		}
		b := db.NewBatch()
		if *c, err = db.CreateCore(b, dkOf(i+1)); err == nil {
			err = b.Commit(Durable)
		}
		b.Close()
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *ours) change(mode Mode, fn func(b *Batch)) error {
	b := s.db.NewBatch()
	defer b.Close()
	fn(b)
	return b.Commit(mode)
}

func (s *ours) appendBlocks(start uint64, blocks [][]byte) error {
	return s.change(Relaxed, func(b *Batch) { b.PutBlocks(s.large, start, blocks) })
}

func (s *ours) appendSmall(i uint64, data []byte) error {
	return s.change(Durable, func(b *Batch) { b.PutBlock(s.small, i, data) })
}

func (s *ours) clear(start, end, step uint64) error {
	return s.change(Relaxed, func(b *Batch) {
		if step == 1 {
			b.ClearBlocks(s.large, start, end)
			return
		}
		for i := start; i < end; i += step {
			b.ClearBlocks(s.large, i, i+1)
		}
	})
}

func (s *ours) tidy() error  { return nil }
func (s *ours) close() error { return s.db.Close() }

// separated is the database by itself, with large values in blob files.
type separated struct{ db *pebble.DB }

func openSeparated(dir string) (blockStore, error) {
	o := &pebble.Options{
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		Logger:                      quietLog{},
	}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: largeBlock, MaxBlobReferenceDepth: 10, TargetGarbageRatio: 0.2,
		}
	}
	for i := range o.Levels {
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, o)
	return &separated{db}, err
}

type quietLog struct{}

func (quietLog) Infof(string, ...any)  {}
func (quietLog) Errorf(string, ...any) {}
func (quietLog) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

func sepKey(table byte, i uint64) []byte { return binary.BigEndian.AppendUint64([]byte{table}, i) }

func (s *separated) appendBlocks(start uint64, blocks [][]byte) error {
	b := s.db.NewBatch()
	defer b.Close()
	for i, data := range blocks {
		if err := b.Set(sepKey('b', start+uint64(i)), data, nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.NoSync)
}

func (s *separated) appendSmall(i uint64, data []byte) error {
	return s.db.Set(sepKey('s', i), data, pebble.Sync)
}

func (s *separated) clear(start, end, step uint64) error {
	b := s.db.NewBatch()
	defer b.Close()
	for i := start; i < end; i += step {
		next := i + 1
		if step == 1 {
			next = end
		}
		if err := b.DeleteRange(sepKey('b', i), sepKey('b', next), nil); err != nil {
			return err
		}
		if step == 1 {
			break
		}
	}
	return b.Commit(pebble.NoSync)
}

func (s *separated) tidy() error {
	if err := s.db.Flush(); err != nil {
		return err
	}
	return s.db.Compact(context.Background(), sepKey('b', 0), sepKey('c', 0), false)
}

func (s *separated) close() error { return s.db.Close() }

// sepImport stores all blocks.
func sepImport(s blockStore) error {
	blocks := make([][]byte, sepBatch)
	for i := range blocks {
		blocks[i] = testBlock(uint64(i), sepBlock)
	}
	for n := uint64(0); n < sepCount; n += sepBatch {
		if err := s.appendBlocks(n, blocks); err != nil {
			return err
		}
	}
	return nil
}

func writtenBytes(b *testing.B) int64 {
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("needs /proc/self/io")
	}
	var n int64
	_, rest, _ := strings.Cut(string(raw), "\nwrite_bytes: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// diskUse returns the space that a store takes, without the logs, which are kept
// to be used again.
func diskUse(dir string) (n int64) {
	_ = filepath.Walk(dir, func(name string, fi os.FileInfo, err error) error {
		var st unix.Stat_t
		if err == nil && fi.Mode().IsRegular() && !isLog(name) && unix.Stat(name, &st) == nil {
			n += st.Blocks * 512
		}
		return nil // a file may vanish meanwhile
	})
	return n
}

func BenchmarkValueSeparation(b *testing.B) {
	for _, name := range []string{"segments", "valueSeparation"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				sepRun(b, name, b.TempDir())
				sepRecovery(b, name, b.TempDir())
			}
		})
	}
}

func sepRun(b *testing.B, name, dir string) {
	s, err := blockStores[name](dir)
	if err != nil {
		b.Fatal(err)
	}
	before := writtenBytes(b)
	stop := make(chan struct{})
	var stalls []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		data := testBlock(1, 100)
		for i := uint64(0); ; i++ {
			t := time.Now()
			if err := s.appendSmall(i, data); err != nil {
				b.Error(err)
				return
			}
			stalls = append(stalls, time.Since(t))
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	t := time.Now()
	if err := sepImport(s); err != nil {
		b.Fatal(err)
	}
	took := time.Since(t)
	close(stop)
	wg.Wait()
	slices.Sort(stalls)
	b.ReportMetric(sepCount*sepBlock/took.Seconds()/1e6, "import-MB/s")
	b.ReportMetric(float64(stalls[len(stalls)/2].Microseconds())/1e3, "small-p50-ms")
	b.ReportMetric(float64(stalls[len(stalls)*99/100].Microseconds())/1e3, "small-p99-ms")
	if err := s.tidy(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(writtenBytes(b)-before)/(sepCount*sepBlock), "written/stored")

	full := diskUse(dir)
	const half = sepCount / 2
	for _, c := range []struct {
		what             string
		start, end, step uint64
		left             int64
	}{{"run", 0, half, 1, full * 6 / 10}, {"alternate", half, sepCount, 2, full * 35 / 100}} {
		before, t := writtenBytes(b), time.Now()
		if err := s.clear(c.start, c.end, c.step); err != nil {
			b.Fatal(err)
		}
		if err := s.tidy(); err != nil {
			b.Fatal(err)
		}
		for diskUse(dir) > c.left && time.Since(t) < 15*time.Second {
			time.Sleep(5 * time.Millisecond)
		}
		b.ReportMetric(float64(time.Since(t).Microseconds())/1e3, "clear-"+c.what+"-ms")
		b.ReportMetric(float64(writtenBytes(b)-before)/1e6, "clear-"+c.what+"-MB")
	}
	b.ReportMetric(float64(diskUse(dir))/float64(full), "left")
	if err := s.close(); err != nil {
		b.Fatal(err)
	}
}

// sepRecovery measures how long a store takes to open whose process was killed.
func sepRecovery(b *testing.B, name, dir string) {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledImport$")
	cmd.Env = append(os.Environ(), "STORAGE_KILLED_IMPORT="+name+"="+dir)
	if err := cmd.Run(); err == nil {
		b.Fatal("the import was not killed")
	}
	t := time.Now()
	s, err := blockStores[name](dir)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(t).Microseconds())/1e3, "recover-ms")
	if err := s.close(); err != nil {
		b.Fatal(err)
	}
}

// TestKilledImport is the process that the benchmark kills: itself.
func TestKilledImport(t *testing.T) {
	name, dir, ok := strings.Cut(os.Getenv("STORAGE_KILLED_IMPORT"), "=")
	if !ok {
		t.Skip("is run by BenchmarkValueSeparation")
	}
	s, err := blockStores[name](dir)
	if err == nil {
		err = sepImport(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
