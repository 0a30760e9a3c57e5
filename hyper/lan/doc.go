// Package lan finds peers on the local link, without a server and without a
// DHT: a [Node] announces at which port a topic can be had, and browses for
// others that announce the same topic. It is DNS-SD over multicast DNS.
//
// Nothing in the announcements says what the topics are. Each is a short id that
// only those who know the topic can recognize, different for every node and every
// hour; docs/protocol/lan.md describes the format and what an observer learns.
//
// An announcement is a hint, not a proof: anybody on the link can make one up or
// repeat one. Whoever connects proves and asks for keys there. An address is the
// one that an announcement came from, on the link it came on, never one that it
// claims; so nobody can make nodes connect elsewhere. Everything that strangers
// can make a node remember or do is bounded, and answers go only to the link that
// the question came from.
package lan
