package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// maxForks bounds the forks of a base.
const maxForks = 1 << 16

// keyChain is the core `_encryption`, which grows by one block at every fork: of
// what the keys of the views are made from there on. The manifest fixes all its
// blocks, so that it needs no signature. It is empty, and not made, before the
// first fork.
//
//	uint 0, uint 32, 32 entropy
type keyChain struct {
	core      *hypercore.Core
	entropies [][32]byte
}

var errKeyChain = errors.New("autobase: invalid core of encryption keys")

func (k *keyChain) close() {
	if k.core != nil {
		k.core.Close()
		k.core = nil
	}
}

func appendDescriptor(b []byte, entropy [32]byte) []byte {
	return append(compact.AppendUint(compact.AppendUint(b, 0), 32), entropy[:]...)
}

func decodeDescriptor(b []byte) (entropy [32]byte, err error) {
	r := compact.NewReader(b)
	if typ, n := r.Uint(), r.Uint(); r.Err() == nil && (typ != 0 || n != 32) {
		return entropy, errKeyChain
	}
	copy(entropy[:], r.Fixed(32))
	return entropy, r.Err()
}

// linkedKeys returns the core that a system core's manifest names, nil if it
// names none.
func (e *engine) linkedKeys(ctx context.Context, m *hypercrypto.Manifest) (*hypercore.Core, error) {
	if m == nil || m.Version < 2 {
		return nil, nil
	}
	if len(m.Linked) != 1 {
		return nil, fmt.Errorf("%w: a system core names %d", errKeyChain, len(m.Linked))
	}
	return e.store.Get(ctx, corestore.GetOptions{Key: &m.Linked[0]})
}

// readKeys reads all entropies of a core that linkedKeys returned.
func readKeys(ctx context.Context, c *hypercore.Core) (entropies [][32]byte, err error) {
	if c == nil {
		return nil, nil
	}
	n := c.Length()
	if n == 0 || n > maxForks {
		return nil, fmt.Errorf("%w: %d blocks", errKeyChain, n)
	}
	for i := range n {
		b, err := c.Get(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("encryption key %d: %w", i, err)
		}
		x, err := decodeDescriptor(b)
		if err != nil {
			return nil, fmt.Errorf("encryption key %d: %w", i, err)
		}
		entropies = append(entropies, x)
	}
	return entropies, nil
}

// bootKeys reads the entropies that the present system core comes with.
func (e *engine) bootKeys(ctx context.Context, system *hypercore.Core) error {
	c, err := e.linkedKeys(ctx, system.Manifest())
	if err != nil || c == nil {
		return err
	}
	defer c.Close()
	e.keys.entropies, err = readKeys(ctx, c)
	return err
}

// openKeys opens the core of encryption keys of the present epoch.
func (e *engine) openKeys(ctx context.Context) error {
	e.keys.close()
	c, err := e.linkedKeys(ctx, e.system.Manifest())
	if err != nil || c == nil {
		return err
	}
	defer c.Close()
	if have := uint64(len(e.keys.entropies)); have != e.sys.info.EncryptionLength {
		return fmt.Errorf("%w: %d keys of %d", errKeyChain, have, e.sys.info.EncryptionLength)
	}
	s, err := e.signers(ctx, e.sys.info.Indexers)
	if err != nil {
		return err
	}
	// The one that is named may be that of the epoch before.
	e.keys.core, err = e.keyCore(ctx, s, e.keys.entropies, e.userData(c))
	return err
}

// keyCore returns the core of encryption keys under the given signers, with all
// its blocks.
func (e *engine) keyCore(ctx context.Context, s *signers, entropies [][32]byte, data []byte) (*hypercore.Core, error) {
	first, err := e.clearCore(ctx, e.lineage.manifest(encryptionName, &signers{}, hypercrypto.TreeState{}, nil, nil))
	if err != nil {
		return nil, err
	}
	defer first.Close()
	draft, err := first.Draft(0)
	if err != nil {
		return nil, err
	}
	defer draft.Close()
	for _, x := range entropies {
		if _, err := draft.Append(ctx, appendDescriptor(nil, x)); err != nil {
			return nil, err
		}
	}
	c, err := e.clearCore(ctx, e.lineage.manifest(encryptionName, s, hypercrypto.TreeState{Hash: draft.TreeHash(), Length: draft.Length()}, nil, data))
	if err != nil {
		return nil, err
	}
	if err := draft.Rebase(ctx, c); err != nil {
		c.Close()
		return nil, fmt.Errorf("fill core of encryption keys: %w", err)
	}
	return c, nil
}

func (e *engine) clearCore(ctx context.Context, m *hypercrypto.Manifest) (*hypercore.Core, error) {
	c, err := e.store.Get(ctx, corestore.GetOptions{Manifest: m, Passive: true})
	if err != nil {
		return nil, fmt.Errorf("open core of encryption keys: %w", err)
	}
	return c, nil
}

// useKeys makes blocks of the views encrypted as the present cores have it.
func (e *engine) useKeys() error {
	if e.lineage.encryption == nil {
		return nil
	}
	e.lineage.entropies.Store(&e.keys.entropies)
	if err := e.lineage.scheme(systemName).follow(e.system.Manifest(), e.keys.entropies); err != nil {
		return err
	}
	for _, v := range e.views {
		if err := e.followView(v.name, v.under); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) followView(name string, core *hypercore.Core) error {
	if e.lineage.encryption == nil {
		return nil
	}
	return e.lineage.scheme(name).follow(core.Manifest(), e.keys.entropies)
}
