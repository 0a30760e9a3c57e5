package identity

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

func TestThePhraseIsKeptSealed(t *testing.T) {
	for _, p := range []Protection{Keyring, Passphrase} {
		for _, words := range []int{32, 16, 20} {
			s := &Store{Dir: t.TempDir(), Ring: &pocket{}, cost: cheap}
			phrase, err := identitykey.MnemonicOf(bytes.Repeat([]byte{7, 9, 200, 3}, words/4))
			if err != nil {
				t.Fatal(err)
			}
			made, err := s.Create(phrase, p, passphrase, at, true)
			if err != nil || !made.PhraseKept {
				t.Fatal(made, err)
			}
			b, err := os.ReadFile(s.path())
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, phrase.Entropy()) {
				t.Error("the phrase is not sealed")
			}
			if again, err := s.Phrase(passphrase); err != nil || again.Reveal() != phrase.Reveal() {
				t.Errorf("%v: %v, %v", p, again, err)
			}
			if p == Passphrase {
				if _, err := s.Phrase("correct horse batterY"); fault.KindOf(err) != fault.Permission {
					t.Errorf("with a wrong passphrase: %v", err)
				}
			}
			if i, err := s.ForgetPhrase(passphrase); err != nil || i.PhraseKept || i.Device != made.Device {
				t.Errorf("forget: %v, %v", i, err)
			}
			if _, err := s.Phrase(passphrase); fault.KindOf(err) != fault.NotFound {
				t.Errorf("after it was forgotten: %v", err)
			}
			if _, err := s.ForgetPhrase(passphrase); fault.KindOf(err) != fault.NotFound {
				t.Errorf("forgotten twice: %v", err)
			}
			if i, err := s.Unlock(passphrase); err != nil || i.Device != made.Device {
				t.Errorf("the device's key: %v, %v", i, err)
			}
		}
	}
	s := &Store{Dir: t.TempDir()}
	if _, err := s.Create(identitykey.NewMnemonic(), Plain, "", at, true); fault.KindOf(err) != fault.Usage {
		t.Errorf("a phrase without a seal: %v", err)
	}
	if _, err := s.Load(); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}

// From every way of keeping a key to every other the key stays the same, the new
// secret opens it, the old one does not, and the keyring has no more than it needs.
func TestProtectionsCanBeChanged(t *testing.T) {
	all := []Protection{Keyring, Passphrase, Plain}
	for _, from := range all {
		for _, to := range all {
			ring := &pocket{}
			s := &Store{Dir: t.TempDir(), Ring: ring, cost: cheap}
			phrase := identitykey.NewMnemonic()
			made, err := s.Create(phrase, from, "the old passphrase", at, from != Plain)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Protect("the old passphrase", 0, ""); fault.KindOf(err) != fault.Usage {
				t.Errorf("%v to nothing: %v", from, err)
			}
			if to == Plain && from != Plain {
				if _, err := s.Protect("the old passphrase", to, ""); fault.KindOf(err) != fault.Usage {
					t.Errorf("%v to plain with a phrase: %v", from, err)
				}
				if _, err := s.ForgetPhrase("the old passphrase"); err != nil {
					t.Fatal(err)
				}
			}
			if from == Passphrase {
				if _, err := s.Protect("a wrong passphrase", to, "the new passphrase"); fault.KindOf(err) != fault.Permission {
					t.Errorf("with a wrong passphrase: %v", err)
				}
			}
			changed, err := s.Protect("the old passphrase", to, "the new passphrase")
			if err != nil || changed.Protection != to || changed.Device != made.Device || changed.PhraseKept != (from != Plain && to != Plain) {
				t.Fatalf("%v to %v: %+v, %v", from, to, changed, err)
			}
			if _, err := changed.Attest(nil); err != nil {
				t.Error(err)
			}
			again, err := s.Unlock("the new passphrase")
			if err != nil || again.Device != made.Device {
				t.Errorf("%v to %v: %v, %v", from, to, again, err)
			}
			if to == Passphrase {
				if _, err := s.Unlock("the old passphrase"); fault.KindOf(err) != fault.Permission {
					t.Errorf("the old passphrase: %v", err)
				}
			}
			if want := map[bool]int{true: 1}[to == Keyring]; len(ring.keys) != want {
				t.Errorf("%v to %v: %d keys in the keyring", from, to, len(ring.keys))
			}
			if changed.PhraseKept {
				if got, err := s.Phrase("the new passphrase"); err != nil || got.Reveal() != phrase.Reveal() {
					t.Errorf("%v to %v: %v, %v", from, to, got, err)
				}
			}
		}
	}
}

// A change that cannot be written leaves everything as it was, and what a broken one
// left behind goes with the next.
func TestAChangeIsWholeOrNotAtAll(t *testing.T) {
	ring := &pocket{}
	s := &Store{Dir: t.TempDir(), Ring: ring, cost: cheap}
	if _, err := s.Create(identitykey.NewMnemonic(), Keyring, "", at, true); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	ring.fail = errors.New("no session")
	if _, err := s.Protect("", Passphrase, passphrase); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	ring.fail = nil
	if _, err := s.Protect("", Passphrase, "short"); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
	if after, err := os.ReadFile(s.path()); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it is not as before: %v", err)
	}
	left := s.path() + ".123"
	if err := os.WriteFile(left, []byte("a plain key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Protect("", Passphrase, passphrase); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(s.Dir, "*")); err != nil || !slices.Equal(files, []string{s.path()}) {
		t.Errorf("%q, %v", files, err)
	}
}

// No bit of a key file with a phrase can be changed, and the phrase has to be that of
// the person.
func TestDamagedPhrases(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Ring: &pocket{}}
	if _, err := s.Create(identitykey.NewMnemonic(), Keyring, "", at, true); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 1
		if err := os.WriteFile(s.path(), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Phrase(""); err == nil {
			t.Errorf("byte %d may change", i)
		}
	}
	f := testFile(Keyring)
	other := identitykey.NewMnemonic()
	f.seal(&secrets{device: hypercrypto.KeyPairFromSeed([32]byte{1}), phrase: &other}, make([]byte, 32))
	if _, err := f.unseal(make([]byte, 32)); !errors.Is(err, errFile) {
		t.Errorf("the phrase of somebody else: %v", err)
	}
}

// testFile is a key file of the device with the seed 1 without secrets.
func testFile(p Protection) *keyFile {
	device, person := hypercrypto.KeyPairFromSeed([32]byte{1}), hypercrypto.KeyPairFromSeed([32]byte{2})
	return &keyFile{protection: p, identity: person.Public, device: device.Public, proof: identitykey.Bootstrap(person, device.Public, at), cost: cost{1, 8, 1}}
}
