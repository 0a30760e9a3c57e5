// Package blindpairing hands the key of a log to somebody who holds an invite,
// without anybody in between learning who, what or which log.
//
// An invite is a secret of 32 bytes and the log's discovery key. Who holds it, the
// candidate, makes a [Request]; a member, who keeps only the invite's public
// key, opens it and answers. Request and answer are sealed with keys that follow
// from the invite, so they may travel over any connection or lie in public
// records. This package has the messages; how they travel is up to the caller.
//
// Invariants: an opened request was made by the holder of the invite for exactly
// that user data; an accepted answer names a key that belongs to the invite's
// discovery key; everything follows from invite and user data, so a member must
// never give two different answers to one session. Whether an invite has expired
// or was used is for the member to decide: nothing in the messages prevents it.
//
// The messages are those of blind-pairing 2. They are described in
// docs/protocol/blind-pairing.md.
package blindpairing
