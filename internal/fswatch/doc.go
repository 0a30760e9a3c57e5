// Package fswatch hears from the system what changes in folders.
//
// It is fsnotify, read so that nobody waits for its reader: fsnotify holds the lock that
// Add and Remove take while it hands out an error, and on some systems it answers them
// only between two events. Who reads events and adds or removes watches in turn would
// hang for ever. Here, Add, Remove and Close return whatever is read, and what nobody
// reads is dropped and told as lost.
package fswatch
