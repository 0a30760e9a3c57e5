// Package hyperdrive is a versioned folder in two logs: a [hyperbee.Tree] maps
// paths to entries, and [hyperblobs.Blobs] holds what is in the files. Both logs
// have the same bytes as those of the JavaScript module of that name for the
// same operations.
//
// A [Drive] is the current state and can be written by the owner of its key
// pair. A [View] is a state that does not change: the drive at a version or at a
// time. [View.FS] makes it an [io/fs.FS]. Package mirror copies between drives
// and folders of the operating system.
//
// Invariants: an entry is written only after its blob; a [Batch] becomes visible
// at once, as one version; names that a file system could not hold, or that
// would lead out of the drive, are never written. What a drive from a peer says
// is not trusted: entries that break these rules are reported or left out, and
// nothing in a drive can lead outside it.
//
// Directories exist only as parts of paths. A path that is both a file and a
// folder is possible in the format; here it counts as a file when it is opened.
//
// The formats, and how versions get their times, are described in
// docs/protocol/hyperdrive.md.
package hyperdrive
