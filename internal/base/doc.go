// Package base keeps ordered keys and values that several devices write, each into a
// log of its own, in one state that all of them agree on.
//
// A [Library] remembers the bases of a node by name and opens each once, however
// many requests use it. It is told of every connection, and exchanges the open bases
// there; the logs themselves are exchanged by the store.
//
// Values of the logs are operations in JSON: {"put": [key, value]}, {"del": key},
// {"log": text}, {"add": log key, "indexer": bool} and {"remove": log key}. They
// become two views, "kv", a tree, and "log", a list. Every peer must apply the same
// operations in the same way, so this is a format, described in
// docs/protocol/blindpeer.md, not a detail.
package base
