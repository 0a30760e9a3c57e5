// Package mirror makes one tree of files like another: [Import] a drive like a
// folder of the operating system, [Export] a folder like a drive, [Copy] a drive
// like a drive. Each walks both sides in the order of paths, applies only what
// differs, and tells about each difference.
//
// By default a file counts as unchanged if its size, time of modification and
// executable bit are the same; its content is then not read. Removing what the
// source does not have is part of the job unless Options.NoPrune is set; nothing
// is removed below a folder that cannot be read.
//
// Folders are trusted to hold what they seem to hold, drives are not: Export
// writes only below its destination, whatever names and links a drive has and
// whatever links the destination contains, and every file appears there complete
// or not at all. What cannot be mirrored is listed in Result.Problems and does not
// stop the rest.
//
// The rules follow the JavaScript module mirror-drive; docs/protocol/hyperdrive.md
// names the differences.
package mirror
