// Package files keeps the drives that a node knows: its own, which follow
// folders on disk, and those of others that it fetched.
//
// A [Library] remembers drives by name in a log of its own, finds what a person
// means by a link, a name or a path, imports folders and keeps following them,
// writes drives to disk, and answers for listings, history, differences and
// restores. It returns faults: errors with a kind and a hint.
//
// Nothing that an import acknowledged is lost, and nothing that a person made is
// overwritten by a get unless asked for: see [Library.Get]. Drives of others are
// not trusted; packages hyperdrive and mirror keep what they say inside the
// destination.
package files
