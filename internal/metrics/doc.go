// Package metrics are the numbers of a node in the text format of Prometheus.
//
// A number says how much, never what or who: no label holds a name, a key, an address
// or a path, and every label has a fixed set of values. The numbers are listed in
// docs/operations/service.md.
package metrics
