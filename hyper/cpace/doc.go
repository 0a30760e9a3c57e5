// Package cpace turns a short secret that two sides share, such as a spoken
// code, into a strong key: the password-authenticated key exchange CPace, with
// ristretto255 and SHA-512 and fixed roles.
//
// Each run allows each side exactly one guess of the other's secret, and an
// observer of the messages none: nothing can be tried out afterwards. A caller
// therefore counts runs, and gives a secret up after one that failed. Who has
// the secret to protect, because somebody else types it in, is the responder and
// waits for the initiator's confirmation before sending its own; a wrong guess is
// then always noticed on that side.
//
// A run is bound to what both sides put into [Input]: a session id that is unique
// to the connection, such as its handshake hash, keeps a run from being relayed
// into another connection.
//
// The messages follow draft-irtf-cfrg-cpace (CPACE-RISTR255-SHA512,
// initiator-responder, with its key confirmation); docs/protocol/cpace.md
// describes them.
package cpace
