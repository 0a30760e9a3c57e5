package cli

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/internal/api"
)

// meterWindow is how far back the rate looks: long enough to be read, short
// enough to be of now.
const meterWindow = 5 * time.Second

// meter turns reports of progress into figures for people: how much of how much,
// from how many peers, how fast at the moment and for how long still. It is safe
// for concurrent use.
type meter struct {
	mu      sync.Mutex // guards what follows
	now     api.Progress
	samples []sample // of the window and the last one before it
}

type sample struct {
	at    time.Time
	bytes uint64
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.samples = api.Progress{}, nil
}

func (m *meter) last() api.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// add takes a report.
func (m *meter) add(p *api.Progress, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = *p
	m.samples = append(m.samples, sample{at, p.Bytes})
	m.dropLocked(at)
}

// dropLocked forgets what is older than the window. m.mu must be held.
func (m *meter) dropLocked(now time.Time) {
	old := 0
	for old+1 < len(m.samples) && now.Sub(m.samples[old+1].at) >= meterWindow {
		old++
	}
	m.samples = m.samples[old:]
}

// rateLocked returns the bytes per second over the window; 0 when unknown. m.mu
// must be held.
func (m *meter) rateLocked(now time.Time) float64 {
	m.dropLocked(now)
	if len(m.samples) == 0 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	seconds := now.Sub(first.at).Seconds()
	if seconds < 0.5 || last.bytes <= first.bytes {
		return 0
	}
	return float64(last.bytes-first.bytes) / seconds
}

// figures returns the text of the line at a moment.
func (m *meter) figures(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.now
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case p.TotalBytes > 0:
		add("%s of %s", size(p.Bytes), size(p.TotalBytes))
	case p.Bytes > 0:
		add("%s", size(p.Bytes))
	}
	switch {
	case p.TotalFiles > 1:
		add("%d of %s", p.Files, count(p.TotalFiles, "file"))
	case p.TotalFiles == 0 && p.Files > 0:
		add("%s", count(p.Files, "file"))
	}
	if p.Peers > 0 {
		add("%s", count(uint64(p.Peers), "peer"))
	}
	if rate := m.rateLocked(now); rate > 0 {
		add("%s/s", size(uint64(rate)))
		if p.TotalBytes > p.Bytes {
			add("%s left", remaining(float64(p.TotalBytes-p.Bytes)/rate))
		}
	}
	return " " + strings.Join(parts, ", ")
}

// remaining writes a number of seconds for people: no finer than it can be known.
func remaining(seconds float64) string {
	switch s := int64(seconds + 0.5); {
	case seconds > 100*3600:
		return "days"
	case s >= 3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	default:
		return fmt.Sprintf("%d s", max(s, 1))
	}
}
