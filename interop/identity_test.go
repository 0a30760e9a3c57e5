package interop

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/identity"
)

func proofOf(t *testing.T, e Event) *identitykey.Proof {
	t.Helper()
	b, err := hex.DecodeString(e.Str("proof"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := identitykey.DecodeProof(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func proofHex(p *identitykey.Proof) string { return hexOf(p.AppendTo(nil)) }

// A person who is made here is the same person in JavaScript, whose verifier accepts
// this device, what it signs, and the devices it vouches for.
func TestJavaScriptVerifiesOurIdentity(t *testing.T) {
	js := StartNode(t, "", "identity-peer.js")
	js.Event(t, "ready")
	phrase := identitykey.NewMnemonic()
	s := &identity.Store{Dir: t.TempDir()}
	i, err := s.Create(phrase, identity.Plain, "", time.Now(), false)
	if err != nil {
		t.Fatal(err)
	}
	profile := hypercrypto.Sum([]byte("profile"))
	keys, ours := js.Call(t, "keys", Args{"mnemonic": phrase.Reveal(), "profile": hexOf(profile[:])}), phrase.Keys()
	encryption, discovery := ours.EncryptionKey(profile), ours.ProfileDiscoveryEncryptionKey()
	for name, want := range map[string]string{
		"identity": hexOf(i.Person[:]), "discovery": hexOf(ours.ProfileDiscovery.Public[:]),
		"discoveryEncryption": hexOf(discovery[:]), "encryption": hexOf(encryption[:]),
	} {
		if keys.Str(name) != want {
			t.Errorf("%s is %s in JavaScript, %s here", name, keys.Str(name), want)
		}
	}
	person, device, data := hexOf(i.Person[:]), hexOf(i.Device[:]), hexOf([]byte("log key, base key"))
	if v := js.Call(t, "verify", Args{"proof": proofHex(i.Proof), "identity": person, "device": device}); !v.Bool("valid") {
		t.Error("the device is not accepted")
	}
	// The key comes back from the disk.
	if i, err = s.Unlock(""); err != nil {
		t.Fatal(err)
	}
	signed, err := i.Attest([]byte("log key, base key"))
	if err != nil {
		t.Fatal(err)
	}
	if v := js.Call(t, "verify", Args{"proof": proofHex(signed), "data": data, "identity": person, "device": device}); !v.Bool("valid") {
		t.Error("what the device signs is not accepted")
	}
	if v := js.Call(t, "verify", Args{"proof": proofHex(signed), "data": "00", "identity": person}); v.Bool("valid") {
		t.Error("other data is accepted")
	}
	// Our device vouches for one of JavaScript's, which vouches for another of ours.
	theirs, third := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	second, err := i.AttestDevice(theirs.Public)
	if err != nil {
		t.Fatal(err)
	}
	if v := js.Call(t, "verify", Args{"proof": proofHex(second), "identity": person, "device": hexOf(theirs.Public[:])}); !v.Bool("valid") {
		t.Error("the second device is not accepted")
	}
	seed := theirs.Seed()
	p := proofOf(t, js.Call(t, "attestDevice", Args{"device": hexOf(third.Public[:]), "seed": hexOf(seed[:]), "proof": proofHex(second)}))
	if err := p.VerifyDevice(identitykey.Expectation{Identity: &i.Person, Device: &third.Public}); err != nil || len(p.Chain) != 3 {
		t.Errorf("the third device: %v", err)
	}
	// A later generation makes earlier proofs void on both sides.
	later, err := (&identity.Store{Dir: t.TempDir()}).Create(phrase, identity.Plain, "", time.Now().Add(time.Hour), false)
	if err != nil {
		t.Fatal(err)
	}
	receipt := js.Call(t, "verify", Args{"proof": proofHex(later.Proof)}).Str("receipt")
	if v := js.Call(t, "verify", Args{"proof": proofHex(i.Proof), "receipt": receipt}); v.Bool("valid") {
		t.Error("the lost device is still accepted")
	}
}

func TestWeVerifyAnIdentityOfJavaScript(t *testing.T) {
	js := StartNode(t, "", "identity-peer.js")
	js.Event(t, "ready")
	words := js.Call(t, "mnemonic", nil).Str("mnemonic")
	phrase, err := identitykey.ParseMnemonic(words)
	if err != nil {
		t.Fatal(err)
	}
	person := phrase.Keys().Identity.Public
	first, second := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	p := proofOf(t, js.Call(t, "bootstrap", Args{"mnemonic": words, "device": hexOf(first.Public[:])}))
	if err := p.VerifyDevice(identitykey.Expectation{Identity: &person, Device: &first.Public}); err != nil {
		t.Fatal(err)
	}
	if age := time.Since(time.Unix(int64(p.Epoch), 0)); age < -time.Minute || age > time.Hour {
		t.Errorf("it is %v old", age)
	}
	seed := first.Seed()
	data := []byte("some data")
	signed := proofOf(t, js.Call(t, "attestData", Args{"data": hexOf(data), "seed": hexOf(seed[:]), "proof": proofHex(p)}))
	if err := signed.VerifyData(data, identitykey.Expectation{Identity: &person, Device: &first.Public, Since: p.Epoch}); err != nil {
		t.Error(err)
	}
	if err := signed.VerifyData([]byte("other data"), identitykey.Expectation{}); err == nil {
		t.Error("other data is accepted")
	}
	// A device of JavaScript's vouches for one of ours, which signs.
	chain := proofOf(t, js.Call(t, "attestDevice", Args{"device": hexOf(second.Public[:]), "seed": hexOf(seed[:]), "proof": proofHex(p)}))
	ours, err := identitykey.AttestData(chain, second, data)
	if err != nil {
		t.Fatal(err)
	}
	v := js.Call(t, "verify", Args{"proof": proofHex(ours), "data": hexOf(data), "identity": hexOf(person[:]), "device": hexOf(second.Public[:])})
	if !v.Bool("valid") || v.Str("receipt") == "" {
		t.Errorf("JavaScript says %v", v)
	}
	// The phrase in shares is the same phrase for JavaScript.
	shares, err := identity.Split(phrase, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.Combine([]*identity.Share{&shares[2], &shares[1]})
	if err != nil || again.Reveal() != words {
		t.Errorf("restored: %v", err)
	}
}
