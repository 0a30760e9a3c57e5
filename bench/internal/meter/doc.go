// Package meter is what the benchmark programs measure with: the output line
// they print, percentiles, and the processor time and memory of the process.
//
// A line is one JSON object. Name and Params say which work was done; two lines
// with the same ones are comparable, whichever program printed them. Value is
// the main figure in Unit; Extra holds secondary figures. bench/README.md lists
// the names.
package meter
