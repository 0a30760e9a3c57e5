package meter

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Fields are named figures or texts of a line.
type Fields map[string]any

// Line is one result of a program.
type Line struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Params Fields  `json:"params"`
	Extra  Fields  `json:"extra,omitempty"`
}

// Print writes the line to w with figures of four significant digits.
func (l Line) Print(w io.Writer) error {
	l.Value = Round(l.Value)
	extra := make(Fields, len(l.Extra))
	for k, v := range l.Extra {
		if f, ok := v.(float64); ok {
			v = Round(f)
		}
		extra[k] = v
	}
	l.Extra = extra
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("print line %s: %w", l.Name, err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// ParseLine reads a line. ok is false for text that is none: programs may print
// other things too.
func ParseLine(text []byte) (l Line, ok bool) {
	if json.Unmarshal(text, &l) != nil || l.Name == "" {
		return Line{}, false
	}
	return l, true
}

// Figure returns a figure of the line: "value", a name in Extra, or several of
// them joined by "+", whose sum it is. ok is false if one is missing.
func (l Line) Figure(expr string) (sum float64, ok bool) {
	for name := range strings.SplitSeq(expr, "+") {
		v := l.Value
		if name != "value" {
			if v, ok = l.Extra[name].(float64); !ok {
				return 0, false
			}
		}
		sum += v
	}
	return sum, true
}

// Round keeps four significant digits.
func Round(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return r
}
