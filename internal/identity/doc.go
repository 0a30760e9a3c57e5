// Package identity is the person on this device: a recovery phrase that everything
// follows from, the device's own key, and the proof that the device is that
// person's.
//
// What is stored is the device's key, sealed: with a key that the system's keyring
// holds, or with a passphrase, or, only when that is asked for, not at all. The phrase
// may be stored with it on the device that made it, never unsealed ([Store.Phrase]).
// The file is for the owner only, and appears whole or not at all, also when its
// protection changes ([Store.Protect]). There is one identity in a data folder. Its
// public part can be read without opening the seal.
//
// A phrase can be given to friends in shares ([Split]), of which a chosen number
// restore it and fewer tell nothing.
//
// Who has the phrase can be that person on a new machine ([Store.Create]). That makes
// the proofs of earlier devices void for everybody who sees the new one: it is for
// devices that are lost. A device that joins others is vouched for by one of them
// ([Identity.Offer], [Newcomer]).
//
// The file is described in docs/formats/identity.md, shares in docs/formats/shares.md,
// proofs in docs/protocol/identity.md.
package identity
