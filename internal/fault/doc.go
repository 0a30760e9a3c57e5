// Package fault gives every error that reaches a person or a program outside
// the process a kind, and holds the one table that turns kinds into exit codes
// and HTTP statuses.
//
// The domain packages return faults or wrap them; the doors, the local API and
// the command line only look kinds up. A fault crosses the local API with its
// kind, message and hints intact, so a command reports the same error with the
// same exit code whether the node runs in its own process or in another.
package fault
