package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// row is a judged line.
type row struct {
	work    string
	side    string // the base
	line    line
	unit    string
	sum     summary
	verdict string
	err     error // why a program failed
}

// reporter prints rows as they come.
type reporter interface {
	row(row) error
}

// table prints rows for people.
type table struct {
	w      io.Writer
	headed bool
}

const tableFormat = "%-56s %-5s %9s %9s %-9s %8s %-15s %8s %-16s %-6s %5s\n"

func (t *table) row(r row) error {
	if !t.headed {
		t.headed = true
		head := fmt.Sprintf(tableFormat, "line", "base", "base", "ours", "unit", "ratio", "[min..max] n", "CPU", "asked", "", "load")
		if _, err := io.WriteString(t.w, head); err != nil {
			return err
		}
	}
	s := r.sum
	around := ""
	if s.wall.n > 0 {
		around = fmt.Sprintf("[%.3g..%.3g] %d", s.wall.min, s.wall.max, s.wall.n)
	}
	_, err := fmt.Fprintf(t.w, tableFormat, r.line.name, r.side, figure(s.base), figure(s.ours), r.unit,
		times(s.wall), around, times(s.cpu), r.line.asked(), r.verdict, fmt.Sprintf("%.1f", s.load))
	if err == nil && r.err != nil {
		_, err = fmt.Fprintf(t.w, "    %s\n", strings.ReplaceAll(r.err.Error(), "\n", "\n    "))
	}
	return err
}

func figure(s spread) string {
	if s.n == 0 {
		return "-"
	}
	return short(s.median)
}

func times(s spread) string {
	if s.n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3gx", s.median)
}

// jsonLines prints one JSON object per row.
type jsonLines struct{ enc *json.Encoder }

// jsonRow is the form of a row. Figures that are not known are left out.
type jsonRow struct {
	Work     string      `json:"work"`
	Line     string      `json:"line"`
	Base     string      `json:"base,omitempty"`
	Unit     string      `json:"unit"`
	BaseIs   *jsonSpread `json:"base_value,omitempty"`
	OursIs   *jsonSpread `json:"our_value,omitempty"`
	BaseCPU  *jsonSpread `json:"base_cpu_s,omitempty"`
	OursCPU  *jsonSpread `json:"our_cpu_s,omitempty"`
	Ratio    *jsonSpread `json:"ratio,omitempty"`
	CPURatio *jsonSpread `json:"cpu_ratio,omitempty"`
	Floor    float64     `json:"floor,omitempty"`
	CPUFloor float64     `json:"cpu_floor,omitempty"`
	Most     float64     `json:"most,omitempty"`
	Least    float64     `json:"least,omitempty"`
	Verdict  string      `json:"verdict"`
	Load     float64     `json:"load"`
	Error    string      `json:"error,omitempty"`
}

type jsonSpread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

func spreadJSON(s spread) *jsonSpread {
	if s.n == 0 {
		return nil
	}
	return &jsonSpread{Median: s.median, Min: s.min, Max: s.max, N: s.n}
}

func (j *jsonLines) row(r row) error {
	s := r.sum
	out := jsonRow{Work: r.work, Line: r.line.name, Base: r.side, Unit: r.unit, BaseIs: spreadJSON(s.base), OursIs: spreadJSON(s.ours),
		BaseCPU: spreadJSON(s.baseCPU), OursCPU: spreadJSON(s.oursCPU), Ratio: spreadJSON(s.wall), CPURatio: spreadJSON(s.cpu),
		Floor: r.line.floor, CPUFloor: r.line.cpuFloor, Most: r.line.most, Least: r.line.least, Verdict: r.verdict, Load: s.load}
	if r.err != nil {
		out.Error = r.err.Error()
	}
	return j.enc.Encode(out)
}
