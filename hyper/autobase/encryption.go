package autobase

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// viewEncryption returns the scheme of a view's blocks; nil for a base in clear.
// The key depends on the view's name and not on its core, so that blocks stay
// the same when the view moves to another core.
func (l *lineage) viewEncryption(name string) hypercrypto.BlockEncryption {
	if l.encryption == nil {
		return nil
	}
	return hypercrypto.BlockKeyEncryption(hypercrypto.Sum(nsBlockKey[:], l.base[:], l.encryption[:], []byte(name)))
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
		s = hypercrypto.DefaultEncryption(*e.lineage.encryption, e.core.Key(), compat)
	} else {
		d, err := decodeManifestData(m.UserData)
		if err != nil {
			return nil, fmt.Errorf("%w: log %s: %w", hypercrypto.ErrEncryption, e.core.Key(), err)
		}
		of := e.core.Key()
		if d.namespace != nil {
			of = *d.namespace
		}
		s = e.lineage.rotating(e.lineage.logKeys(of))
	}
	e.scheme.Store(&s)
	return s, nil
}

// rotating is the scheme of logs whose manifest is of version 2.
func (l *lineage) rotating(derive func(entropy [32]byte) (block, hash [32]byte)) hypercrypto.BlockEncryption {
	return hypercrypto.RotatingEncryption(hypercrypto.RotatingOptions{Derive: derive, Source: func(id int64) (uint32, [32]byte, error) {
		if id > 0 {
			return 0, [32]byte{}, fmt.Errorf("%w: key %d of a base that was forked", hypercrypto.ErrEncryption, id)
		}
		return 0, nsGenesis, nil
	}})
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
