package api

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/identity"
	"github.com/tradle/cloudpal/internal/link"
)

// NewIdentityRequest makes a new person with this device. The answer is a [Phrase]
// event, before anything is kept, and an [Identity] event.
type NewIdentityRequest struct {
	KeyProtection
	// ForgetPhrase keeps the phrase nowhere. Otherwise it is kept with the device's
	// key, unless that is not protected.
	ForgetPhrase bool `json:"forgetPhrase,omitempty"`
}

// RestoreIdentityRequest makes this device one of the person whose phrase it is. The
// answer is an [Identity] event.
type RestoreIdentityRequest struct {
	Phrase string `json:"phrase"`
	KeyProtection
}

// KeyProtection says how to keep the device's key.
type KeyProtection struct {
	// Protection is "keyring", "passphrase" or "plain".
	Protection string `json:"protection"`
	Passphrase string `json:"passphrase,omitempty"`
}

// ShowIdentityRequest asks who this device belongs to. The answer is an [Identity]
// event.
type ShowIdentityRequest struct{}

// CheckIdentityRequest opens the device's key, to see whether that is possible. The
// answer is an [Identity] event.
type CheckIdentityRequest struct {
	Passphrase string `json:"passphrase,omitempty"`
}

// ProtectIdentityRequest keeps the device's key in another way or with another
// passphrase. The answer is an [Identity] event.
type ProtectIdentityRequest struct {
	// Old is the passphrase until now, if there is one.
	Old string `json:"old,omitempty"`
	KeyProtection
}

// RevealPhraseRequest asks for the recovery phrase if it is kept on this device. The
// answer is a [Phrase] event.
type RevealPhraseRequest struct {
	Passphrase string `json:"passphrase,omitempty"`
}

// ForgetPhraseRequest has this device keep the recovery phrase no longer. The answer
// is an [Identity] event.
type ForgetPhraseRequest struct {
	Passphrase string `json:"passphrase,omitempty"`
}

// KeyringRequest asks whether this system has a keyring. The answer is a [Keyring]
// event.
type KeyringRequest struct{}

// SplitPhraseRequest splits a recovery phrase. The answer holds a [PhraseShare] event
// for each share.
type SplitPhraseRequest struct {
	Phrase string `json:"phrase"`
	// Needed of Count shares restore the phrase.
	Needed int `json:"needed"`
	Count  int `json:"count"`
}

// CombineRequest restores a phrase from shares. The answer is a [Phrase] event.
type CombineRequest struct {
	Shares []string `json:"shares"`
}

// The names of the events about identities.
const (
	TypePhrase   = "phrase"
	TypeIdentity = "identity"
	TypeKeyring  = "keyring"
	TypeShare    = "share"
)

// Phrase is a recovery phrase, the secret that a person consists of.
type Phrase struct {
	Type   string `json:"type"`
	Phrase string `json:"phrase"`
}

// Identity is the person whose device this is.
type Identity struct {
	Type string `json:"type"`
	// Person and Device are public keys.
	Person string `json:"person"`
	Device string `json:"device"`
	// Since is when the person signed the first device of this generation.
	Since time.Time `json:"since"`
	// Proof is what says that the device is the person's, in hexadecimal digits. It is
	// no secret.
	Proof string `json:"proof"`
	// Protection is how the device's key is kept.
	Protection string `json:"protection"`
	// PhraseKept tells that the recovery phrase is kept with the device's key.
	PhraseKept bool `json:"phraseKept"`
}

// Keyring says whether this system has a keyring.
type Keyring struct {
	Type      string `json:"type"`
	Available bool   `json:"available"`
}

// PhraseShare is a share of a recovery phrase, for one friend.
type PhraseShare struct {
	Type   string `json:"type"`
	Number int    `json:"number"`
	Needed int    `json:"needed"`
	Count  int    `json:"count"`
	Share  string `json:"share"`
}

// ForQR returns a link in the form that makes the smallest QR code.
func ForQR(s string) string { return link.ForQR(s) }

func (h *handler) newIdentity(_ context.Context, r NewIdentityRequest, s *Stream) error {
	p, err := identity.ParseProtection(r.Protection)
	if err != nil {
		return err
	}
	if err := h.Identity.Check(p, r.Passphrase); err != nil {
		return err
	}
	phrase := identitykey.NewMnemonic()
	if err := s.Send(TypePhrase, Phrase{TypePhrase, phrase.Reveal()}); err != nil {
		return err // nobody has read the phrase
	}
	return h.createIdentity(phrase, p, r.Passphrase, !r.ForgetPhrase && p != identity.Plain, s)
}

func (h *handler) restoreIdentity(_ context.Context, r RestoreIdentityRequest, s *Stream) error {
	phrase, err := parsePhrase(r.Phrase)
	if err != nil {
		return err
	}
	p, err := identity.ParseProtection(r.Protection)
	if err != nil {
		return err
	}
	return h.createIdentity(phrase, p, r.Passphrase, false, s)
}

func (h *handler) createIdentity(phrase identitykey.Mnemonic, p identity.Protection, passphrase string, keep bool, s *Stream) error {
	i, err := h.Identity.Create(phrase, p, passphrase, time.Now(), keep)
	if err != nil {
		return err
	}
	h.Person.Set(i)
	return sendIdentity(s, i)
}

func (h *handler) showIdentity(_ context.Context, _ ShowIdentityRequest, s *Stream) error {
	i, err := h.Identity.Load()
	if err != nil {
		return err
	}
	return sendIdentity(s, i)
}

func (h *handler) checkIdentity(_ context.Context, r CheckIdentityRequest, s *Stream) error {
	i, err := h.Identity.Unlock(r.Passphrase)
	if err != nil {
		return err
	}
	return sendIdentity(s, i)
}

func (h *handler) protectIdentity(_ context.Context, r ProtectIdentityRequest, s *Stream) error {
	p, err := identity.ParseProtection(r.Protection)
	if err != nil {
		return err
	}
	i, err := h.Identity.Protect(r.Old, p, r.Passphrase)
	if err != nil {
		return err
	}
	return sendIdentity(s, i)
}

func (h *handler) revealPhrase(_ context.Context, r RevealPhraseRequest, s *Stream) error {
	phrase, err := h.Identity.Phrase(r.Passphrase)
	if err != nil {
		return err
	}
	return s.Send(TypePhrase, Phrase{TypePhrase, phrase.Reveal()})
}

func (h *handler) forgetPhrase(_ context.Context, r ForgetPhraseRequest, s *Stream) error {
	i, err := h.Identity.ForgetPhrase(r.Passphrase)
	if err != nil {
		return err
	}
	return sendIdentity(s, i)
}

func sendIdentity(s *Stream, i *identity.Identity) error {
	return s.Send(TypeIdentity, Identity{TypeIdentity, i.Person.String(), i.Device.String(), i.Since(), hex.EncodeToString(i.Proof.AppendTo(nil)), i.Protection.String(), i.PhraseKept})
}

func (h *handler) keyring(_ context.Context, _ KeyringRequest, s *Stream) error {
	return s.Send(TypeKeyring, Keyring{TypeKeyring, h.Identity.Ring.Available()})
}

func (h *handler) splitPhrase(_ context.Context, r SplitPhraseRequest, s *Stream) error {
	phrase, err := parsePhrase(r.Phrase)
	if err != nil {
		return err
	}
	shares, err := identity.Split(phrase, r.Needed, r.Count)
	if err != nil {
		return err
	}
	for _, share := range shares {
		if err := s.Send(TypeShare, PhraseShare{TypeShare, share.Place, share.Needed, len(shares), share.Link()}); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) combine(_ context.Context, r CombineRequest, s *Stream) error {
	var shares []*identity.Share
	for i, text := range r.Shares {
		share, err := identity.ParseShare(text)
		if err != nil {
			return fault.New(fault.Usage, "share %d: %w", i+1, err)
		}
		shares = append(shares, share)
	}
	phrase, err := identity.Combine(shares)
	if err != nil {
		return err
	}
	return s.Send(TypePhrase, Phrase{TypePhrase, phrase.Reveal()})
}

func parsePhrase(text string) (identitykey.Mnemonic, error) {
	m, err := identitykey.ParseMnemonic(text)
	if err != nil {
		return m, fault.New(fault.Usage, "%w", err).Hint("it is the words that cloudpal identity new printed, in their order")
	}
	return m, nil
}
