// Package ignore decides which files of a folder stay out of a drive, by
// patterns in the syntax of .gitignore.
//
// A pattern without a slash, or with one only at its end, matches a name at any
// depth; any other matches from the root of the shared folder. A slash at the
// end matches folders only. "*" and "?" match within a name, "**" matches any
// number of folders, "[a-z]" one character. "!" in front takes a match back; the
// last pattern that matches decides, except that nothing below a folder that
// stays out can come back. "#" begins a comment.
package ignore
