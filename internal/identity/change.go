package identity

import (
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
)

// Protect keeps the device's key, and the phrase if that is kept, in another way or
// with another passphrase. old opens them now, as in [Store.Unlock]. The key file is
// replaced as a whole; copies of the old one, as in backups, can still be opened as
// before. [Plain] is refused while the phrase is kept.
func (s *Store) Protect(old string, p Protection, passphrase string) (*Identity, error) {
	return s.change(old, func(f *keyFile, k *secrets) error {
		if err := checkProtection(p, passphrase); err != nil {
			return err
		}
		return s.keep(f, k, p, passphrase)
	})
}

// Phrase returns the phrase of the person if it is kept here; otherwise the error is
// [fault.NotFound].
func (s *Store) Phrase(passphrase string) (identitykey.Mnemonic, error) {
	f, err := s.read()
	if err != nil {
		return identitykey.Mnemonic{}, err
	}
	if !f.phrase {
		return identitykey.Mnemonic{}, errNoPhrase()
	}
	_, k, err := s.open(passphrase)
	if err != nil {
		return identitykey.Mnemonic{}, err
	}
	return *k.phrase, nil
}

// ForgetPhrase keeps the phrase no longer. The device's key stays as it is.
func (s *Store) ForgetPhrase(passphrase string) (*Identity, error) {
	return s.change(passphrase, func(f *keyFile, k *secrets) error {
		if k.phrase == nil {
			return errNoPhrase()
		}
		k.phrase = nil
		return s.keep(f, k, f.protection, passphrase)
	})
}

func errNoPhrase() error {
	return fault.New(fault.NotFound, "the recovery phrase is not kept on this device").
		Hint("it is kept where it was made, unless it was forgotten there or the key is not protected")
}

// change replaces the key file by what fn writes.
func (s *Store) change(passphrase string, fn func(*keyFile, *secrets) error) (*Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, k, err := s.open(passphrase)
	if err != nil {
		return nil, err
	}
	if err := fn(f, k); err != nil {
		return nil, err
	}
	return identityOf(f, k.device), nil
}
