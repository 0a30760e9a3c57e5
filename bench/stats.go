package main

import "slices"

// direction says which values are better.
type direction bool

const (
	higher direction = true
	lower  direction = false
)

// sample is what one pair of runs gave for one line. Figures that a program did
// not print are absent.
type sample struct {
	base, ours       optional
	baseCPU, oursCPU optional
	load             float64 // the higher one of the load averages before the two runs
}

type optional struct {
	value float64
	known bool
}

// ratio returns how many times better ours is than base, both known and not 0.
func (d direction) ratio(base, ours optional) (float64, bool) {
	if !base.known || !ours.known || base.value == 0 || ours.value == 0 {
		return 0, false
	}
	if d == higher {
		return ours.value / base.value, true
	}
	return base.value / ours.value, true
}

// spread is a median with the range of what it is taken from. n is 0 if that is
// nothing.
type spread struct {
	median, min, max float64
	n                int
}

func spreadOf(v []float64) spread {
	if len(v) == 0 {
		return spread{}
	}
	v = slices.Sorted(slices.Values(v))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (v[len(v)/2-1] + m) / 2
	}
	return spread{median: m, min: v[0], max: v[len(v)-1], n: len(v)}
}

// summary is what all pairs gave for one line.
type summary struct {
	base, ours       spread
	baseCPU, oursCPU spread
	wall, cpu        spread // ratios of the pairs; wall only of those with little load if there are any
	load             float64
	loaded           bool // all pairs ran under load
}

// summarise pairs samples up. Wall time under a load average above maxLoad says
// little about the programs, so such pairs count for their processor time only,
// as long as there are others.
func summarise(samples []sample, better direction, maxLoad float64) summary {
	s := summary{loaded: true}
	var base, ours, baseCPU, oursCPU, cpu, quiet, all []float64
	add := func(to *[]float64, v optional) {
		if v.known {
			*to = append(*to, v.value)
		}
	}
	for _, p := range samples {
		s.load = max(s.load, p.load)
		s.loaded = s.loaded && p.load > maxLoad
		add(&base, p.base)
		add(&ours, p.ours)
		add(&baseCPU, p.baseCPU)
		add(&oursCPU, p.oursCPU)
		if r, ok := lower.ratio(p.baseCPU, p.oursCPU); ok {
			cpu = append(cpu, r)
		}
		if r, ok := better.ratio(p.base, p.ours); ok {
			all = append(all, r)
			if p.load <= maxLoad {
				quiet = append(quiet, r)
			}
		}
	}
	s.base, s.ours, s.baseCPU, s.oursCPU, s.cpu = spreadOf(base), spreadOf(ours), spreadOf(baseCPU), spreadOf(oursCPU), spreadOf(cpu)
	if s.wall = spreadOf(quiet); len(quiet) == 0 {
		s.wall = spreadOf(all)
	}
	return s
}
