package mirror

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// smallTree makes a folder of n files of 4 KiB.
func smallTree(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	data := prngBytes(77, 4096)
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%03d", i/100))
		if i%100 == 0 {
			if err := os.Mkdir(sub, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		data[i%4096]++
		p := filepath.Join(sub, fmt.Sprintf("f%05d", i))
		if err := os.WriteFile(p, data, 0o644); err != nil {
			b.Fatal(err)
		}
		yesterday(b, p)
	}
	return dir
}

func largeTree(b *testing.B, size int) string {
	b.Helper()
	dir := b.TempDir()
	p := filepath.Join(dir, "large")
	if err := os.WriteFile(p, prngBytes(78, size), 0o644); err != nil {
		b.Fatal(err)
	}
	yesterday(b, p)
	return dir
}

const (
	benchFiles = 20_000
	benchBytes = 256 << 20
)

func BenchmarkImportSmall(b *testing.B) {
	dir := smallTree(b, benchFiles)
	for b.Loop() {
		b.StopTimer()
		d := newDrive(b, nil)
		b.StartTimer()
		r, err := Import(b.Context(), dir, d, nil)
		noProblems(b, r, err)
	}
	b.ReportMetric(benchFiles*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkImportLarge(b *testing.B) {
	dir := largeTree(b, benchBytes)
	b.SetBytes(benchBytes)
	for b.Loop() {
		b.StopTimer()
		d := newDrive(b, nil)
		b.StartTimer()
		r, err := Import(b.Context(), dir, d, nil)
		noProblems(b, r, err)
	}
}

func BenchmarkImportUnchanged(b *testing.B) {
	for name, dir := range map[string]string{"small": smallTree(b, benchFiles), "large": largeTree(b, benchBytes)} {
		b.Run(name, func(b *testing.B) {
			d := newDrive(b, nil)
			r, err := Import(b.Context(), dir, d, nil)
			noProblems(b, r, err)
			for b.Loop() {
				r, err := Import(b.Context(), dir, d, nil)
				noProblems(b, r, err)
			}
		})
	}
}

func BenchmarkExport(b *testing.B) {
	for name, dir := range map[string]string{"small": smallTree(b, benchFiles), "large": largeTree(b, benchBytes)} {
		b.Run(name, func(b *testing.B) {
			d := newDrive(b, nil)
			r, err := Import(b.Context(), dir, d, nil)
			noProblems(b, r, err)
			if name == "large" {
				b.SetBytes(benchBytes)
			}
			for b.Loop() {
				r, err := Export(b.Context(), d.View, b.TempDir(), nil)
				noProblems(b, r, err)
			}
			if name == "small" {
				b.ReportMetric(benchFiles*float64(b.N)/b.Elapsed().Seconds(), "files/s")
			}
		})
	}
}
