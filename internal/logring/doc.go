// Package logring keeps the last lines of a log in memory, made fit to be shown to
// strangers: for reports of problems.
//
// A line that is kept has its time, level and message, and of its values only numbers,
// times, truth values and a few words of our own. Texts are left out, for they may be
// names, paths, keys or addresses, and of errors there is their kind and types,
// without their texts. Messages are constants of the program; what looks like a key, a
// path, a link or an address in one is left out as well.
package logring
