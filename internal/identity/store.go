package identity

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// fileName is the key file in its folder.
const fileName = "device.key"

// Store is the folder in which the identity is kept. One process at a time may use
// it. It is safe for concurrent use.
type Store struct {
	Dir  string
	Ring Ring

	cost cost       // of new passphrases; zero is newCost
	mu   sync.Mutex // held while the key file is made or replaced
}

func (s *Store) path() string { return filepath.Join(s.Dir, fileName) }

// Create makes this device one of the person whose phrase it is, with a new key, and
// keeps the phrase with that if keep is set, which [Plain] does not allow. It returns
// the identity unlocked. passphrase is used with [Passphrase] only. An identity that
// is there already is a [fault.Conflict].
func (s *Store) Create(phrase identitykey.Mnemonic, p Protection, passphrase string, at time.Time, keep bool) (*Identity, error) {
	person := phrase.Keys().Identity
	k := &secrets{device: hypercrypto.NewKeyPair()}
	if keep {
		k.phrase = &phrase
	}
	return s.create(identitykey.Bootstrap(person, k.device.Public, at), k, p, passphrase)
}

// create makes the key file of a device with that proof.
func (s *Store) create(proof *identitykey.Proof, k *secrets, p Protection, passphrase string) (*Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Check(p, passphrase); err != nil {
		return nil, err
	}
	f := &keyFile{identity: proof.Identity, device: k.device.Public, proof: proof}
	if err := s.keep(f, k, p, passphrase); err != nil {
		return nil, err
	}
	return identityOf(f, k.device), nil
}

// keep makes or replaces the key file with the secrets, protected anew.
func (s *Store) keep(f *keyFile, k *secrets, p Protection, passphrase string) error {
	var secret []byte
	undo, forget := func() {}, func() {}
	if f.protection == Keyring {
		name := f.name
		forget = func() { _ = s.Ring.Delete(ringName(name)) } // if it stays it opens only copies of the file before
	}
	f.protection = p
	switch p {
	case Passphrase:
		f.cost, f.salt, secret = cmp.Or(s.cost, newCost), newSalt(), []byte(passphrase)
	case Keyring:
		var err error
		if f.name, secret, err = newRingKey(s.Ring); err != nil {
			return err
		}
		undo = func() { _ = s.Ring.Delete(ringName(f.name)) } // of no use without the file
	case Plain:
		if k.phrase != nil {
			return fault.New(fault.Usage, "the recovery phrase is kept only where it can be sealed").
				Hint("write it down and forget it here: cloudpal identity phrase --forget").Hint("or protect it: --protect passphrase")
		}
	}
	f.seal(k, secret)
	if err := s.write(f.appendTo(nil)); err != nil {
		undo()
		return fmt.Errorf("write the key file: %w", err)
	}
	forget()
	return nil
}

func identityOf(f *keyFile, key *hypercrypto.KeyPair) *Identity {
	return &Identity{Person: f.identity, Device: f.device, Proof: f.proof, Protection: f.protection, PhraseKept: f.phrase, key: key}
}

// Check tells whether Create would refuse: because there is an identity already, or
// because of how the key is to be kept.
func (s *Store) Check(p Protection, passphrase string) error {
	if err := checkProtection(p, passphrase); err != nil {
		return err
	}
	switch _, err := os.Lstat(s.path()); {
	case err == nil:
		return fault.New(fault.Conflict, "there is an identity here already").
			Hint("see it with cloudpal identity show").Hint("to be somebody else, use another data folder with CLOUDPAL_HOME")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// Load returns the identity, locked. None is [fault.NotFound].
func (s *Store) Load() (*Identity, error) {
	f, err := s.read()
	if err != nil {
		return nil, err
	}
	return identityOf(f, nil), nil
}

// Unlock returns the identity with its key. passphrase is used with [Passphrase]
// only; a wrong one is [fault.Permission].
func (s *Store) Unlock(passphrase string) (*Identity, error) {
	f, k, err := s.open(passphrase)
	if err != nil {
		return nil, err
	}
	return identityOf(f, k.device), nil
}

// open reads the key file and its secrets.
func (s *Store) open(passphrase string) (*keyFile, *secrets, error) {
	f, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	var secret []byte
	switch f.protection {
	case Keyring:
		if secret, err = ringKey(s.Ring, f.name); err != nil {
			return nil, nil, err
		}
	case Passphrase:
		secret = []byte(passphrase)
	}
	k, err := f.unseal(secret)
	switch {
	case errors.Is(err, errSecret) && f.protection == Passphrase:
		return nil, nil, fault.New(fault.Permission, "the passphrase is wrong, or the key file is damaged")
	case err != nil:
		return nil, nil, fault.New(fault.Corrupt, "open %s: %w", s.path(), err)
	}
	return f, k, nil
}

// read reads the key file and checks that nobody else can.
func (s *Store) read() (*keyFile, error) {
	file, err := os.Open(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no identity here").
			Hint("make one: cloudpal identity new").Hint("or come back to yours: cloudpal identity restore")
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	// Windows keeps others out by other means than these bits.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Permission, "the key file can be read by others").
			Hint("chmod 600 %s; if somebody may have copied it, revoke it by cloudpal identity restore in a new data folder", s.path())
	}
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if len(b) > maxFile {
		return nil, fault.New(fault.Corrupt, "%s: %w", s.path(), errFile)
	}
	f, err := decodeKeyFile(b)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "%s: %w", s.path(), err)
	}
	return f, nil
}

// write makes or replaces the key file: whole, durable, for the owner only. Whenever
// it breaks off there is the old one or the new one.
func (s *Store) write(b []byte) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	// What an earlier attempt left behind may be protected less than what comes.
	left, _ := filepath.Glob(filepath.Join(s.Dir, fileName+".*"))
	for _, name := range left {
		_ = os.Remove(name) // it is in nobody's way
	}
	temp, err := os.CreateTemp(s.Dir, fileName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // fails if it got its name
	_, err = temp.Write(b)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), s.path()); err != nil {
		return err
	}
	return syncFolder(s.Dir)
}

// syncFolder makes names durable where the system can do that.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync() // not everywhere
	return nil
}
