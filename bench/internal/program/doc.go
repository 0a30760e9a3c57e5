// Package program holds the measured programs: each does exactly described
// work with the Go library and prints what it took, in the lines of package
// meter. Every program has the name, flags, work and lines of a JavaScript
// program in bench/js; flags that only one side has are described there and in
// bench/README.md.
//
// Building data is outside the measured time. Appends are relaxed, as
// JavaScript's always are (written to the operating system, not synced), unless
// --durable is given. Every block that comes from a peer is verified.
package program
