package node

import (
	"os"
	"os/user"
	"sync"

	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/identity"
)

// person is the identity on this device, opened once for as long as the node runs.
type person struct {
	store *identity.Store

	mu   sync.Mutex // guards open
	open *identity.Identity
}

// Unlock opens the device's key, if it is not open yet. passphrase is used only where
// the key has one.
func (p *person) Unlock(passphrase string) (*identity.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		return p.open, nil
	}
	i, err := p.store.Load()
	if err != nil {
		return nil, err
	}
	if i.Protection == identity.Passphrase && passphrase == "" {
		return nil, fault.New(fault.Permission, "the key of this device is locked with a passphrase").
			Hint("open it for the running node: cloudpal identity unlock")
	}
	if i, err = p.store.Unlock(passphrase); err != nil {
		return nil, err
	}
	p.open = i
	return i, nil
}

// locked tells whether the key is not open.
func (p *person) locked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open == nil
}

// Set takes an identity that was made just now.
func (p *person) Set(i *identity.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = i
}

// Attest implements [space.Identity].
func (p *person) Attest(data []byte) (*identitykey.Proof, error) {
	i, err := p.Unlock("")
	if err != nil {
		return nil, err
	}
	return i.Attest(data)
}

// personName is how the person is called until they say otherwise.
func personName() string {
	if u, err := user.Current(); err == nil {
		if u.Name != "" {
			return u.Name
		}
		return u.Username
	}
	return "somebody"
}

// machineName is how the device is called until somebody says otherwise.
func machineName() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "a device"
}
