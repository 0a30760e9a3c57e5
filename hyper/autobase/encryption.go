package autobase

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// viewScheme is how a view's blocks are encrypted. The keys depend on the view's
// name and not on its core, so that blocks stay the same when the view moves to
// another core. From where the base was forked on there are other keys, unless
// there is a ring of keys: then blocks name the one they are encrypted with.
type viewScheme struct {
	lineage *lineage
	name    string
	before  hypercrypto.BlockEncryption
	after   atomic.Pointer[forkedScheme]
}

type forkedScheme struct {
	from uint64 // first block
	hypercrypto.BlockEncryption
}

func (l *lineage) newScheme(name string) *viewScheme {
	s := &viewScheme{lineage: l, name: name}
	if l.ring == nil {
		s.before = hypercrypto.BlockKeyEncryption(l.viewKey(name))
	} else {
		s.before = hypercrypto.EpochEncryption(l.viewKey(name), l.ring, l.epoch.Load)
	}
	return s
}

// viewKey returns the key that a view's blocks have without a ring, and with one
// in epoch 0.
func (l *lineage) viewKey(name string) [32]byte {
	return hypercrypto.Sum(nsBlockKey[:], l.base[:], l.encryption[:], []byte(name))
}

// scheme returns that of a view, the same one for all its cores.
func (l *lineage) scheme(name string) *viewScheme {
	l.schemesMu.Lock()
	defer l.schemesMu.Unlock()
	s := l.schemes[name]
	if s == nil {
		if l.schemes == nil {
			l.schemes = make(map[string]*viewScheme)
		}
		s = l.newScheme(name)
		l.schemes[name] = s
	}
	return s
}

// viewEncryption returns the scheme of a view's blocks; nil for a base in clear.
func (l *lineage) viewEncryption(name string) hypercrypto.BlockEncryption {
	if l.encryption == nil {
		return nil
	}
	return l.scheme(name)
}

// follow makes s that of a core, given the keys since all forks.
func (s *viewScheme) follow(m *hypercrypto.Manifest, entropies [][32]byte) error {
	if m == nil || m.Version < 2 || s.lineage.ring != nil {
		s.after.Store(nil)
		return nil
	}
	f := &forkedScheme{}
	if len(m.UserData) > 0 {
		d, err := decodeManifestData(m.UserData)
		if err != nil {
			return fmt.Errorf("%w: view %q: %w", hypercrypto.ErrEncryption, s.name, err)
		}
		f.from = d.compat
	}
	f.BlockEncryption = rotating(func() [][32]byte { return entropies }, func(entropy [32]byte) (block, hash [32]byte) {
		block = hypercrypto.Sum(nsBlockKey[:], s.lineage.base[:], entropy[:], []byte(s.name))
		return block, hypercrypto.Sum(nsHashKey[:], block[:])
	})
	s.after.Store(f)
	return nil
}

func (s *viewScheme) of(index uint64) hypercrypto.BlockEncryption {
	if f := s.after.Load(); f != nil && index >= f.from {
		return f
	}
	return s.before
}

func (s *viewScheme) Padding() int { return hypercrypto.EncryptionPadding }

func (s *viewScheme) Encrypt(index, fork uint64, block []byte) error {
	return s.of(index).Encrypt(index, fork, block)
}

func (s *viewScheme) Decrypt(index uint64, block []byte) error {
	return s.of(index).Decrypt(index, block)
}

// logEncryption is the scheme of a writer's log. Which one it is depends on the
// manifest, which is only known when the first block arrives.
type logEncryption struct {
	lineage *lineage
	core    *hypercore.Core // set before the first use
	scheme  atomic.Pointer[hypercrypto.BlockEncryption]
}

func (e *logEncryption) Padding() int { return hypercrypto.EncryptionPadding }

func (e *logEncryption) Encrypt(index, fork uint64, block []byte) error {
	s, err := e.load()
	if err != nil {
		return err
	}
	return s.Encrypt(index, fork, block)
}

func (e *logEncryption) Decrypt(index uint64, block []byte) error {
	s, err := e.load()
	if err != nil {
		return err
	}
	return s.Decrypt(index, block)
}

func (e *logEncryption) load() (hypercrypto.BlockEncryption, error) {
	if s := e.scheme.Load(); s != nil {
		return *s, nil
	}
	m := e.core.Manifest()
	if m == nil {
		return nil, fmt.Errorf("%w: the manifest of log %s is not known", hypercrypto.ErrEncryption, e.core.Key())
	}
	var s hypercrypto.BlockEncryption
	if m.Version < 2 {
		_, compat := m.Matches(e.core.Key())
		key := hypercrypto.DeriveBlockKey(*e.lineage.encryption, e.core.Key(), compat)
		if e.lineage.ring == nil {
			s = hypercrypto.BlockKeyEncryption(key)
		} else {
			s = hypercrypto.EpochEncryption(key, e.lineage.ring, e.lineage.logEpoch.Load)
		}
	} else {
		d, err := decodeManifestData(m.UserData)
		if err != nil {
			return nil, fmt.Errorf("%w: log %s: %w", hypercrypto.ErrEncryption, e.core.Key(), err)
		}
		of := e.core.Key()
		if d.namespace != nil {
			of = *d.namespace
		}
		s = e.lineage.rotating(e.lineage.logKeys(of), e.lineage.logEpoch.Load)
	}
	e.scheme.Store(&s)
	return s, nil
}

// rotating is the scheme of cores whose manifest is of version 2: every block
// names its key, of which the first is fixed and each fork makes one more.
func rotating(entropies func() [][32]byte, derive func(entropy [32]byte) (block, hash [32]byte)) hypercrypto.BlockEncryption {
	return hypercrypto.RotatingEncryption(hypercrypto.RotatingOptions{Derive: derive, Source: func(id int64) (uint32, [32]byte, error) {
		all := entropies()
		if id == hypercrypto.NewestKey {
			id = int64(len(all))
		}
		if id == 0 {
			return 0, nsGenesis, nil
		}
		if id < 0 || id > int64(len(all)) {
			return 0, [32]byte{}, fmt.Errorf("%w: key %d of %d", hypercrypto.ErrEncryption, id, len(all))
		}
		return uint32(id), all[id-1], nil
	}})
}

// rotating is the scheme of logs whose manifest is of version 2. With a ring the
// keys are those of epochs, of which newest is that of new blocks.
func (l *lineage) rotating(derive func(entropy [32]byte) (block, hash [32]byte), newest func() uint32) hypercrypto.BlockEncryption {
	if l.ring != nil {
		return hypercrypto.RotatingEncryption(hypercrypto.RotatingOptions{Derive: derive, Source: func(id int64) (uint32, [32]byte, error) {
			if id == hypercrypto.NewestKey {
				id = int64(newest())
			}
			if id == 0 {
				return 0, nsGenesis, nil
			}
			key, ok := l.ring.Key(uint32(id))
			if !ok {
				return 0, key, &hypercrypto.UnknownKeyError{Epoch: uint32(id)}
			}
			return uint32(id), key, nil
		}})
	}
	return rotating(func() [][32]byte {
		if all := l.entropies.Load(); all != nil {
			return *all
		}
		return nil
	}, derive)
}

// logKeys derives the keys of a log whose manifest is of version 2.
func (l *lineage) logKeys(log hypercrypto.Key) func(entropy [32]byte) (block, hash [32]byte) {
	return func(entropy [32]byte) (block, hash [32]byte) {
		block = hypercrypto.Sum(nsBlockKey[:], l.base[:], l.encryption[:], entropy[:], log[:])
		return block, hypercrypto.Sum(nsHashKey[:], block[:])
	}
}

// plainOptimistic decodes a block that somebody without the key wrote to a log of
// an encrypted base: a zero byte, seven of the hash of what follows, then the
// block in clear. It returns nil if the block is no such.
func plainOptimistic(c *hypercore.Core, i uint64) *oplog.Block {
	m := c.Manifest()
	if m == nil || m.Version < 2 {
		return nil
	}
	raw, err := c.GetRaw(context.Background(), i)
	if err != nil || len(raw) < hypercrypto.EncryptionPadding || raw[0] != 0 {
		return nil
	}
	b, err := oplog.Decode(raw[hypercrypto.EncryptionPadding:])
	if err != nil || !b.Optimistic {
		return nil
	}
	return b
}
