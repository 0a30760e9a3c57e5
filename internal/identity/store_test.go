package identity

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// pocket is a keyring in memory.
type pocket struct {
	mu   sync.Mutex
	keys map[string]string
	fail error
}

func (p *pocket) Get(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.keys[name]
	if p.fail == nil && !ok {
		return "", ErrNotInRing
	}
	return s, p.fail
}

func (p *pocket) Set(name, secret string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail == nil {
		if p.keys == nil {
			p.keys = make(map[string]string)
		}
		p.keys[name] = secret
	}
	return p.fail
}

func (p *pocket) Delete(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.keys, name)
	return p.fail
}

func (p *pocket) Available() bool { return p.fail == nil }

const passphrase = "correct horse battery"

// cheap makes tests fast.
var cheap = cost{passes: 1, memory: 64, threads: 1}

var at = time.Unix(1_770_000_000, 0)

func TestIdentityIsKept(t *testing.T) {
	for _, p := range []Protection{Keyring, Passphrase, Plain} {
		t.Run(p.String(), func(t *testing.T) {
			s := &Store{Dir: filepath.Join(t.TempDir(), "a", "identity"), Ring: &pocket{}, cost: cheap}
			if _, err := s.Load(); fault.KindOf(err) != fault.NotFound {
				t.Errorf("before there is one: %v", err)
			}
			phrase := identitykey.NewMnemonic()
			made, err := s.Create(phrase, p, passphrase, at, false)
			if err != nil {
				t.Fatal(err)
			}
			person := phrase.Keys().Identity.Public
			if made.Person != person || made.Protection != p || !made.Since().Equal(at) {
				t.Errorf("made %+v", made)
			}
			locked, err := s.Load()
			if err != nil || locked.Person != person || locked.Device != made.Device || locked.Protection != p {
				t.Fatalf("loaded %+v, %v", locked, err)
			}
			if _, err := locked.Attest(nil); fault.KindOf(err) != fault.Permission {
				t.Errorf("a locked one signs: %v", err)
			}
			if _, err := locked.AttestDevice(person); fault.KindOf(err) != fault.Permission {
				t.Errorf("a locked one vouches: %v", err)
			}
			open, err := s.Unlock(passphrase)
			if err != nil {
				t.Fatal(err)
			}
			data := []byte("what it is for")
			proof, err := open.Attest(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyData(data, identitykey.Expectation{Identity: &person, Device: &made.Device}); err != nil {
				t.Error(err)
			}
			second := hypercrypto.NewKeyPair()
			if proof, err = open.AttestDevice(second.Public); err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyDevice(identitykey.Expectation{Identity: &person, Device: &second.Public}); err != nil {
				t.Error(err)
			}
			if _, err := s.Create(identitykey.NewMnemonic(), p, passphrase, at, false); fault.KindOf(err) != fault.Conflict {
				t.Errorf("a second identity: %v", err)
			}
		})
	}
}

// What lies on the disk is of no use without the secret: neither phrase nor key nor
// passphrase are there, and only the owner can read what is.
func TestWhatIsOnTheDisk(t *testing.T) {
	for _, p := range []Protection{Keyring, Passphrase} {
		ring := &pocket{}
		s := &Store{Dir: filepath.Join(t.TempDir(), "identity"), Ring: ring, cost: cheap}
		phrase := identitykey.NewMnemonic()
		made, err := s.Create(phrase, p, passphrase, at, false)
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(s.Dir)
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		info, err := files[0].Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if dir, err := os.Stat(s.Dir); err != nil || dir.Mode().Perm() != 0o700 {
			t.Errorf("folder: %v, %v", dir.Mode(), err)
		}
		b, err := os.ReadFile(s.path())
		if err != nil {
			t.Fatal(err)
		}
		device, person, entropy := made.key.Seed(), phrase.Keys().Identity.Seed(), phrase.Entropy()
		secrets := [][]byte{device[:], person[:], entropy, []byte(passphrase), []byte(phrase.Words()[0])}
		for name, secret := range ring.keys {
			raw, err := hypercrypto.DecodeZ32(secret)
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, raw, []byte(secret))
			if bytes.Contains([]byte(secret), device[:]) || strings.Contains(name, secret) {
				t.Error("the keyring has the device's key")
			}
		}
		for i, secret := range secrets {
			if bytes.Contains(b, secret) {
				t.Errorf("%v: secret %d is in the file", p, i)
			}
		}
	}
}

func TestIdentitiesDoNotPrintTheirKey(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	i, err := s.Create(identitykey.NewMnemonic(), Plain, "", at, false)
	if err != nil {
		t.Fatal(err)
	}
	seed := i.key.Seed()
	for _, format := range []string{"%v", "%s", "%+v", "%#v", "%x"} {
		for _, v := range []any{i, *i} {
			text := fmt.Sprintf(format, v)
			if strings.Contains(text, fmt.Sprintf("%x", seed[:8])) || strings.Contains(text, strings.Trim(fmt.Sprint(seed[:8]), "[]")) {
				t.Errorf("%s shows the key", format)
			}
		}
	}
}

func TestSecretsThatDoNotFit(t *testing.T) {
	s := &Store{Dir: t.TempDir(), cost: cheap}
	if _, err := s.Create(identitykey.NewMnemonic(), Passphrase, passphrase, at, false); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "correct horse batterY", passphrase + " "} {
		if _, err := s.Unlock(wrong); fault.KindOf(err) != fault.Permission {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, weak := range []string{"", "1234567", "aaaaaaaaaaaa", "ééééééé"} {
		s := &Store{Dir: t.TempDir()}
		if _, err := s.Create(identitykey.NewMnemonic(), Passphrase, weak, at, false); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q is taken: %v", weak, err)
		}
		if _, err := s.Load(); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%q: something was written: %v", weak, err)
		}
	}
}

func TestKeyrings(t *testing.T) {
	ring := &pocket{fail: errors.New("no session")}
	s := &Store{Dir: t.TempDir(), Ring: ring}
	if _, err := s.Create(identitykey.NewMnemonic(), Keyring, "", at, false); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("no keyring: %v", err)
	}
	ring.fail = nil
	if _, err := s.Create(identitykey.NewMnemonic(), Keyring, "", at, false); err != nil {
		t.Fatal(err)
	}
	ring.fail = errors.New("no session")
	if _, err := s.Unlock(""); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the keyring went away: %v", err)
	}
	ring.fail = nil
	for name := range ring.keys {
		ring.keys[name] = "o"
		if _, err := s.Unlock(""); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("a damaged key: %v", err)
		}
		ring.keys[name] = hypercrypto.EncodeZ32(make([]byte, 32))
		if _, err := s.Unlock(""); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("another key: %v", err)
		}
		delete(ring.keys, name)
	}
	if _, err := s.Unlock(""); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another machine: %v", err)
	}
	// What could not be written leaves nothing in the keyring.
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = &Store{Dir: filepath.Join(blocked, "identity"), Ring: ring}
	if _, err := s.Create(identitykey.NewMnemonic(), Keyring, "", at, false); err == nil || len(ring.keys) != 0 {
		t.Errorf("%v, %d keys are left", err, len(ring.keys))
	}
}

func TestFilesThatOthersCanRead(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	if _, err := s.Create(identitykey.NewMnemonic(), Plain, "", at, false); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(s.path(), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(); fault.KindOf(err) != fault.Permission {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// The same phrase on a new machine is the same person, with another device, and makes
// the earlier one void for who has seen the new.
func TestRecoveryOnANewMachine(t *testing.T) {
	phrase := identitykey.NewMnemonic()
	old, err := (&Store{Dir: t.TempDir()}).Create(phrase, Plain, "", at, false)
	if err != nil {
		t.Fatal(err)
	}
	shares, err := Split(phrase, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Combine([]*Share{&shares[0], &shares[2]})
	if err != nil {
		t.Fatal(err)
	}
	now, err := (&Store{Dir: t.TempDir()}).Create(again, Plain, "", at.Add(time.Hour), false)
	if err != nil {
		t.Fatal(err)
	}
	if now.Person != old.Person || now.Device == old.Device {
		t.Errorf("%v, %v", now, old)
	}
	seen := identitykey.Expectation{Identity: &old.Person, Since: now.Proof.Epoch}
	if err := now.Proof.VerifyDevice(seen); err != nil {
		t.Error(err)
	}
	if err := old.Proof.VerifyDevice(seen); !errors.Is(err, identitykey.ErrProof) {
		t.Errorf("the lost device is still accepted: %v", err)
	}
}

// No bit of a key file can be changed.
func TestDamagedFiles(t *testing.T) {
	for _, p := range []Protection{Keyring, Plain} {
		s := &Store{Dir: t.TempDir(), Ring: &pocket{}}
		if _, err := s.Create(identitykey.NewMnemonic(), p, "", at, false); err != nil {
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
			if _, err := s.Unlock(""); err == nil {
				t.Errorf("%v: byte %d may change", p, i)
			}
			if err := os.WriteFile(s.path(), b[:i], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Load(); fault.KindOf(err) != fault.Corrupt {
				t.Errorf("%v: %d of %d bytes: %v", p, i, len(b), err)
			}
		}
		if err := os.WriteFile(s.path(), make([]byte, maxFile+1), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(); fault.KindOf(err) != fault.Corrupt {
			t.Errorf("a long file: %v", err)
		}
	}
}

// A file cannot make this machine spend any amount of memory on a passphrase.
func TestCostsAreBounded(t *testing.T) {
	device := hypercrypto.NewKeyPair()
	person := hypercrypto.NewKeyPair()
	f := &keyFile{protection: Passphrase, identity: person.Public, device: device.Public, proof: identitykey.Bootstrap(person, device.Public, at), sealed: make([]byte, 48)}
	for _, c := range []cost{{0, 8, 1}, {maxPasses + 1, 8, 1}, {1, 7, 1}, {1, maxMemory + 1, 1}, {1, 8, 0}, {1, 8, maxThreads + 1}} {
		f.cost = c
		if _, err := decodeKeyFile(f.appendTo(nil)); !errors.Is(err, errFile) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	f.cost = cost{1, 8, 1}
	if _, err := decodeKeyFile(f.appendTo(nil)); err != nil {
		t.Error(err)
	}
}

func TestProtectionsHaveNames(t *testing.T) {
	for _, p := range []Protection{Keyring, Passphrase, Plain} {
		if again, err := ParseProtection(p.String()); err != nil || again != p {
			t.Errorf("%v: %v", p, err)
		}
	}
	if _, err := ParseProtection("magic"); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
	if _, err := (&Store{Dir: t.TempDir()}).Create(identitykey.NewMnemonic(), 0, "", at, false); fault.KindOf(err) != fault.Usage {
		t.Error(err)
	}
}

func FuzzKeyFile(f *testing.F) {
	device := hypercrypto.KeyPairFromSeed([32]byte{1})
	phrase, err := identitykey.MnemonicOf(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range []Protection{Keyring, Passphrase, Plain} {
		k := testFile(p)
		k.seal(&secrets{device: device}, make([]byte, 32))
		f.Add(k.appendTo(nil))
		if p != Plain {
			k.seal(&secrets{device: device, phrase: &phrase}, make([]byte, 32))
			f.Add(k.appendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyFile(b)
		if err != nil {
			return
		}
		out := k.appendTo(nil)
		if again, err := decodeKeyFile(out); err != nil || !bytes.Equal(again.appendTo(nil), out) {
			t.Fatalf("read again: %v", err)
		}
		if k.protection != Passphrase {
			_, _ = k.unseal(make([]byte, 32))
		}
	})
}

func FuzzJoin(f *testing.F) {
	device, person := hypercrypto.KeyPairFromSeed([32]byte{1}), hypercrypto.KeyPairFromSeed([32]byte{2})
	f.Add((&Request{device.Public, "a name"}).appendTo(nil))
	f.Add((&answer{identitykey.Bootstrap(person, device.Public, at), []byte("welcome")}).appendTo(nil))
	f.Add([]byte{answerRefused})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRequest(b); err == nil {
			out := r.appendTo(nil)
			if again, err := decodeRequest(out); err != nil || *again != *r {
				t.Fatalf("request read again: %+v, %v", again, err)
			}
		}
		if a, err := decodeAnswer(b); err == nil {
			out := a.appendTo(nil)
			if again, err := decodeAnswer(out); err != nil || !bytes.Equal(again.appendTo(nil), out) {
				t.Fatalf("answer read again: %v", err)
			}
		}
	})
}
