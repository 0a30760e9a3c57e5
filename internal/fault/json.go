package fault

import "errors"

// Report is the form in which a fault crosses the local API and appears in the
// output of commands run with --json.
type Report struct {
	Type    string   `json:"type"` // always "error"
	Kind    string   `json:"kind"`
	Message string   `json:"message"`
	Hints   []string `json:"hints,omitempty"`
	Exit    int      `json:"exit"`
}

// ReportOf describes err, which must not be nil.
func ReportOf(err error) Report {
	k := KindOf(err)
	return Report{Type: "error", Kind: k.String(), Message: err.Error(), Hints: HintsOf(err), Exit: k.ExitCode()}
}

// Err reverses [ReportOf]: kind, message and hints survive, wrapped values do
// not.
func (r Report) Err() error {
	return &Error{Kind: ParseKind(r.Kind), Err: errors.New(r.Message), Hints: r.Hints}
}
