package cli

import (
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/api"
)

func TestMeterTellsRateAndTimeLeft(t *testing.T) {
	var m meter
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	report := func(s float64, mib uint64) {
		m.add(&api.Progress{Phase: "download", Bytes: mib << 20, TotalBytes: 100 << 20, Files: 1, TotalFiles: 3, Peers: 2}, at(s))
	}
	report(0, 0)
	for _, c := range []struct {
		seconds float64
		mib     uint64
		want    string
	}{
		{0.1, 1, " 1.0 MiB of 100.0 MiB, 1 of 3 files, 2 peers"}, // too early to tell
		{1, 10, " 10.0 MiB of 100.0 MiB, 1 of 3 files, 2 peers, 10.0 MiB/s, 9 s left"},
		{2, 20, " 20.0 MiB of 100.0 MiB, 1 of 3 files, 2 peers, 10.0 MiB/s, 8 s left"},
		// What was long ago does not count.
		{10, 21, " 21.0 MiB of 100.0 MiB, 1 of 3 files, 2 peers, 128.0 KiB/s, 10 min 32 s left"},
	} {
		report(c.seconds, c.mib)
		if got := m.figures(at(c.seconds)); got != c.want {
			t.Errorf("after %v s: %q, want %q", c.seconds, got, c.want)
		}
	}
	if got, want := m.figures(at(60)), " 21.0 MiB of 100.0 MiB, 1 of 3 files, 2 peers"; got != want {
		t.Errorf("stalled: %q, want %q", got, want)
	}
}

func TestRemainingIsRounded(t *testing.T) {
	for seconds, want := range map[float64]string{0.1: "1 s", 59.4: "59 s", 61: "1 min 01 s", 3600: "1 h 00 min", 9000: "2 h 30 min", 1e9: "days"} {
		if got := remaining(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}

func TestUpdateTextNamesOnlyWhatHappened(t *testing.T) {
	for want, u := range map[string]api.Updated{
		"nothing changed":                    {},
		"2 added, 1 removed; 2.0 KiB stored": {Added: 2, Removed: 1, Bytes: 2048},
	} {
		if got := updateText(&u); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
