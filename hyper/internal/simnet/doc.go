// Package simnet is a network in memory for tests: hosts and home networks behind
// address translators on links that delay, lose, repeat, reorder and cut off
// packets. Its sockets are udpio.Conns.
//
// Chance comes from one seed, with a source of its own per link and direction, so
// that what happens on one link does not depend on the others. Time is that of
// package time: in a testing/synctest bubble a network runs on the fake clock,
// which stands still while anybody works. Nothing but timers and channels is
// waited for.
//
// The Internet is the outermost segment. A Router joins a home network, which is
// a segment of its own with its own addresses, to the segment the router is in.
// There is no hairpin: a router does not send back in what its own network sends
// to its outer address.
package simnet
