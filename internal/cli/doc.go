// Package cli is the command line: one file per command, each of which turns
// flags into one request of the local API and the answer's events into text or,
// with --json, into the same events as lines.
//
// Results go to standard output; progress, warnings and errors go to standard
// error. Progress is only drawn on a terminal. The exit code says what kind of
// thing went wrong; the table is in package fault and in the help.
package cli
