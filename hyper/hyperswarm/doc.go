// Package hyperswarm finds peers by topic and keeps connections to them: it
// announces and looks up topics in the DHT, dials what it finds, tries again what
// failed, and accepts who comes.
//
// There is at most one connection per remote key, however many topics both sides
// have in common and whoever dialed; when both dial at the same time, both sides
// keep the same of the two connections. The number of connections, of attempts
// and of remembered peers is limited, so that answers of a hostile DHT node cost
// a fixed amount of memory and a limited number of packets.
//
// A topic says nothing on a connection: who found whom by which topic is known to
// the DHT only. What is exchanged is up to the protocols above, which have proofs
// of their own.
//
// The rules are described in docs/protocol/swarm.md.
package hyperswarm
