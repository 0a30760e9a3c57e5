package main

import (
	"fmt"
	"strings"

	"github.com/tradle/cloudpal/bench/internal/meter"
)

// work is something that both sides do.
type work struct {
	name  string
	base  *command // nil: there is nothing to compare with, only limits to keep
	ours  *command
	needs []*set
	net   bool // uses sockets
	lines []line
}

// command is a program with its arguments.
type command struct {
	side string // who it is, for the table
	argv []string
	loss int // percent of UDP packets
}

// line is one row of the table: a figure of a work, and what is asked of it.
type line struct {
	name   string
	output string // the output line that has the figure
	figure string // see meter.Line.Figure; "" is "value"
	unit   string // of the figure if it is not the value
	better direction
	cpu    string // the figure that is the processor time of the work, "" if there is none
	// baseFigure is the figure of the base if it has another name, baseOutput the
	// output line.
	baseOutput, baseFigure string

	floor    float64 // ratio in wall time; 0: nothing is asked
	cpuFloor float64 // ratio in processor time
	most     float64 // limit of our figure
	least    float64 // limit of our figure
}

// sample takes the figures of a line out of what the programs of a pair printed.
func (l line) sample(base, ours []meter.Line, load float64) sample {
	figure := l.figure
	if figure == "" {
		figure = "value"
	}
	baseFigure, baseOutput := figure, l.output
	if l.baseFigure != "" {
		baseFigure = l.baseFigure
	}
	if l.baseOutput != "" {
		baseOutput = l.baseOutput
	}
	s := sample{load: load, base: pick(base, baseOutput, baseFigure), ours: pick(ours, l.output, figure)}
	if l.cpu != "" {
		s.oursCPU = pick(ours, l.output, l.cpu)
		if s.baseCPU = pick(base, baseOutput, l.cpu); !s.baseCPU.known {
			s.baseCPU = pick(base, baseOutput, "cpu_s")
		}
	}
	return s
}

func pick(lines []meter.Line, output, figure string) (v optional) {
	for _, l := range lines {
		if l.Name == output {
			v.value, v.known = l.Figure(figure)
			return v
		}
	}
	return v
}

// asked says in words what is asked of a line.
func (l line) asked() string {
	var parts []string
	if l.floor != 0 {
		parts = append(parts, fmt.Sprintf("%.4gx", l.floor))
	}
	if l.cpuFloor != 0 {
		parts = append(parts, fmt.Sprintf("%.4gx CPU", l.cpuFloor))
	}
	if l.most != 0 {
		parts = append(parts, "<= "+short(l.most))
	}
	if l.least != 0 {
		parts = append(parts, ">= "+short(l.least))
	}
	return strings.Join(parts, ", ")
}

// Verdicts.
const (
	pass    = "pass"
	miss    = "MISS"
	unsure  = "loaded" // the wall time says nothing: the machine was busy
	failed  = "FAILED"
	noFloor = "-"
)

// verdict judges a summary.
func (l line) verdict(s summary) string {
	if s.ours.n == 0 {
		return failed
	}
	wanted := []struct {
		floor float64
		ratio spread
	}{{l.floor, s.wall}, {l.cpuFloor, s.cpu}}
	for _, w := range wanted {
		if w.floor != 0 && w.ratio.n == 0 {
			return failed
		}
	}
	switch {
	case l.cpuFloor != 0 && s.cpu.median < l.cpuFloor,
		l.most != 0 && s.ours.median > l.most,
		l.least != 0 && s.ours.median < l.least && !s.loaded,
		l.floor != 0 && s.wall.median < l.floor && !s.loaded:
		return miss
	case (l.floor != 0 || l.least != 0) && s.loaded:
		return unsure
	case l.asked() == "":
		return noFloor
	}
	return pass
}

// short prints a figure with three digits and a letter for thousands.
func short(v float64) string {
	for _, s := range []struct {
		unit float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if v >= s.unit {
			if s.name == "k" {
				s.unit = 1e3
			}
			return fmt.Sprintf("%.3g%s", v/s.unit, s.name)
		}
	}
	return fmt.Sprintf("%.4g", v)
}
