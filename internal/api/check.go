package api

import (
	"context"
	"fmt"
)

// Check is one of the checks that an [AuditRequest] makes besides that of all logs.
type Check struct {
	// Name says what is checked, in a word or two.
	Name string
	// Run checks, and repairs what it can if repair is set. An error is about the
	// check itself, not what it finds.
	Run func(ctx context.Context, repair bool) (Findings, error)
}

// Findings are what a check found, in sentences, and what was done about it. It is
// damage for as long as there are more problems than repairs. Warnings are no damage, and
// say what to do.
type Findings struct{ Problems, Repaired, Warnings []string }

// Warn adds a warning.
func (f *Findings) Warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}

// TypeChecked is the event of [Checked].
const TypeChecked = "checked"

// Checked is the finding of a check that is not about one log.
type Checked struct {
	Type string `json:"type"`
	Name string `json:"name"`
	// Problems is what was found, Repaired what was done about it.
	Problems []string `json:"problems"`
	Repaired []string `json:"repaired"`
	// Warnings are no damage: they say what does not work, or is not safe, and what to do.
	Warnings []string `json:"warnings"`
}

// check makes the checks, and returns how many found something that is not repaired.
func (h *handler) check(ctx context.Context, repair bool, s *Stream) (bad int, err error) {
	for _, c := range h.Checks {
		f, err := c.Run(ctx, repair)
		if err != nil {
			return bad, err
		}
		if len(f.Problems) > len(f.Repaired) {
			bad++
		}
		if err := s.Send(TypeChecked, Checked{TypeChecked, c.Name, append([]string{}, f.Problems...), append([]string{}, f.Repaired...), append([]string{}, f.Warnings...)}); err != nil {
			return bad, err
		}
	}
	return bad, nil
}
