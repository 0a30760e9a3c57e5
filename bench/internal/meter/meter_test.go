package meter

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPrintedLineIsReadBack(t *testing.T) {
	var out bytes.Buffer
	l := Line{Name: "core-append", Value: 1234567, Unit: "blocks/s", Params: Fields{"size": 100}, Extra: Fields{"cpu_s": 0.000123456, "note": "x"}}
	if err := l.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := `{"name":"core-append","value":1235000,"unit":"blocks/s","params":{"size":100},"extra":{"cpu_s":0.0001235,"note":"x"}}` + "\n"
	if out.String() != want {
		t.Fatalf("printed %s, want %s", out.String(), want)
	}
	got, ok := ParseLine(out.Bytes())
	if !ok || got.Value != 1235000 || got.Name != "core-append" {
		t.Fatalf("read back %+v, %v", got, ok)
	}
	if _, ok := ParseLine([]byte(`{"ready":true,"port":1}`)); ok {
		t.Error("an object without a name was taken for a line")
	}
	if _, ok := ParseLine([]byte(`warning: something`)); ok {
		t.Error("text was taken for a line")
	}
}

func TestFigure(t *testing.T) {
	l := Line{Name: "x", Value: 3, Extra: Fields{"a": 4.0, "b": 0.5, "text": "no"}}
	for _, c := range []struct {
		expr string
		want float64
		ok   bool
	}{{"value", 3, true}, {"a", 4, true}, {"a+b", 4.5, true}, {"value+b", 3.5, true}, {"missing", 0, false}, {"a+missing", 0, false}, {"text", 0, false}} {
		if got, ok := l.Figure(c.expr); ok != c.ok || ok && got != c.want {
			t.Errorf("Figure(%q) = %v, %v; want %v, %v", c.expr, got, ok, c.want, c.ok)
		}
	}
}

func TestPercentile(t *testing.T) {
	l := Latencies{5 * time.Millisecond, 1 * time.Millisecond, 4 * time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond}
	for p, want := range map[float64]float64{0: 1, 0.5: 3, 0.9: 5, 1: 5} {
		if got := l.Percentile(p); got != want {
			t.Errorf("Percentile(%v) = %v, want %v", p, got, want)
		}
	}
	if got := l.Sum(); got != 15*time.Millisecond {
		t.Errorf("Sum = %v", got)
	}
	if got := (Latencies{}).Percentile(0.5); got != 0 {
		t.Errorf("Percentile of nothing = %v", got)
	}
}

func TestStatusMiB(t *testing.T) {
	status := []byte("Name:\tnode\nVmHWM:\t   20480 kB\nVmRSS:\t    1024 kB\n")
	for field, want := range map[string]float64{"VmHWM:": 20, "VmRSS:": 1, "VmSwap:": 0} {
		if got := statusMiB(status, field); got != want {
			t.Errorf("%s %v MiB, want %v", field, got, want)
		}
	}
}

func TestDirSizeCountsAllLevels(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"x": 10, "a/y": 200, "a/b/z": 3000} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := DirSize(dir); err != nil || n != 3210 {
		t.Fatalf("DirSize = %d, %v; want 3210", n, err)
	}
}

func TestSinceStart(t *testing.T) {
	t.Setenv(StartVar, "")
	if _, ok := SinceStart(); ok {
		t.Error("a start without the variable")
	}
	t.Setenv(StartVar, "1000000000")
	if ms, ok := SinceStart(); !ok || ms < 1e9 {
		t.Errorf("SinceStart = %v, %v", ms, ok)
	}
}
