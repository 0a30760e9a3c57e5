// Command bench compares this implementation with the JavaScript one, with rsync
// and with Syncthing: it runs a program of each side on the same work, alternately and one at
// a time, and prints the median of the ratios of the pairs, in wall time and in
// processor time, beside the ratio that is asked for.
//
//	go run ./bench [--only REGEX] [--pairs N] [--quick] [--json]   compare
//	go run ./bench memory                                          memory with a file of 10 GiB
//	go run ./bench go PROGRAM [flags]                              one of our programs alone
//
// Invariants: nothing runs beside a measured program; both programs of a pair
// have the same work, the same class of durability and verify the same. What
// each line means is in bench/README.md.
package main
