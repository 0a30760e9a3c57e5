package fault

import (
	"errors"
	"slices"
)

// Report is the form in which a fault crosses the local API and appears in the
// output of commands run with --json.
type Report struct {
	Type    string   `json:"type"` // always "error"
	Kind    string   `json:"kind"`
	Message string   `json:"message"`
	Hints   []string `json:"hints,omitempty"`
	Exit    int      `json:"exit"`
}

// diskHints are what to do about a disk that fails, whoever met it.
var diskHints = []string{
	"look at the disk, and start again: what was confirmed before is there",
	"cloudpal doctor --check looks at all that is stored",
}

// ReportOf describes err, which must not be nil.
func ReportOf(err error) Report {
	k, hints := KindOf(err), HintsOf(err)
	if k == Disk && len(hints) == 0 {
		hints = slices.Clone(diskHints)
	}
	return Report{Type: "error", Kind: k.String(), Message: err.Error(), Hints: hints, Exit: k.ExitCode()}
}

// Err reverses [ReportOf]: kind, message and hints survive, wrapped values do
// not.
func (r Report) Err() error {
	return &Error{Kind: ParseKind(r.Kind), Err: errors.New(r.Message), Hints: r.Hints}
}
