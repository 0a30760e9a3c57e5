// Package link reads and writes links to drives: hyper:// and pear:// URLs, in
// all the forms that are found in the wild, and bare keys.
//
// A link names a drive by its key and may go on to a version, a path, a query and a
// fragment. CloudPal links can also carry the encryption key of the drive, as the
// query parameter "encryption": who has such a link can read the drive. What kind
// of data the key leads to is not in a link.
//
// Parsing is strict where typing errors happen: a key of the wrong length or with
// a wrong character gives an error that says so and where.
//
// The forms are described in docs/protocol/encoding.md.
package link
