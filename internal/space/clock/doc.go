// Package clock is the hybrid logical clock of a space: times that people can read,
// and that never run against what caused what.
//
// A [Time] is later than all times that its clock gave or was shown before. It stays
// close to the machine's own clock: a clock is not moved by times that are further
// ahead of it than [MaxDrift], so one machine whose clock is wrong moves no other.
package clock
