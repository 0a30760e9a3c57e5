//go:build unix

package spacefs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFirstSync brings a folder to another machine while it is imported.
func BenchmarkFirstSync(b *testing.B) {
	for _, size := range []struct {
		name         string
		files, bytes int
	}{{"4000files", 4000, 4 << 10}, {"256MiB", 1, 256 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			var cpu, delay time.Duration
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				from, to, cut := pair(b, Options{})
				to.sync()
				eventually(b, "the folder is there", func() bool { return to.folder.Status().State == "idle" })
				random := rand.NewChaCha8([32]byte{byte(i)})
				data := make([]byte, size.bytes)
				for n := range size.files {
					name := from.path(fmt.Sprintf("%d/%d", n/100, n))
					_, _ = random.Read(data) // never fails
					must(b, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644))
				}
				before, began := processTime(b), time.Now()
				b.StartTimer()
				from.sync()
				folders := (size.files + 99) / 100
				for to.folder.Status().Written < uint64(size.files+folders) {
					time.Sleep(5 * time.Millisecond)
				}
				b.StopTimer()
				delay += time.Since(began)
				cpu += processTime(b) - before
				from.leaveFolder()
				to.leaveFolder()
				cut()
				from.stop()
				to.stop()
				b.StartTimer()
			}
			b.ReportMetric(float64(size.files*b.N)/delay.Seconds(), "files/s")
			b.ReportMetric(float64(size.files*size.bytes*b.N)/delay.Seconds()/1e6, "MB/s")
			b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// processTime returns the processor time that was used so far.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
