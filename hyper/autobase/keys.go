package autobase

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

var (
	nsSigner     = hypercrypto.Namespace("autobase", 0)
	nsBlockKey   = hypercrypto.Namespace("autobase", 1)
	nsHashKey    = hypercrypto.Namespace("autobase", 2)
	nsGenesis    = hypercrypto.Namespace("autobase/entropy", 0)
	nsNext       = hypercrypto.Namespace("autobase/entropy", 1)
	nsEncryption = hypercrypto.Namespace("autobase", 3)
	noEncryption []byte
)

// Names of the cores that every base has beside those of its views.
const (
	systemName     = "_system"
	encryptionName = "_encryption"
)

// lineage is what the keys of a base's cores are derived from.
type lineage struct {
	base       hypercrypto.Key
	encryption *hypercrypto.EncryptionKey // nil for a base in clear

	entropies atomic.Pointer[[][32]byte] // of an encrypted base, one per fork

	ring     hypercrypto.KeyRing // nil: the key of the base is for ever
	epoch    atomic.Uint32       // of new blocks of views
	logEpoch atomic.Uint32       // of new blocks of the own log

	schemesMu sync.Mutex // guards schemes
	schemes   map[string]*viewScheme
}

// again returns the lineage as if nothing was known of forks and epochs.
func (l *lineage) again() *lineage {
	return &lineage{base: l.base, encryption: l.encryption, ring: l.ring}
}

func (l *lineage) secret() []byte {
	if l.encryption == nil {
		return noEncryption
	}
	return l.encryption[:]
}

// namespace returns that of the signers of a view: it keeps the keys of views of
// the same signers apart.
func (l *lineage) namespace(name string, entropy [32]byte) [32]byte {
	secret := hypercrypto.Sum(l.secret())
	return hypercrypto.Sum(nsSigner[:], []byte{1}, l.base[:], secret[:], entropy[:], []byte(name))
}

// signer is what a view's manifest takes from an indexer's log.
type signer struct {
	public    hypercrypto.PublicKey
	namespace [32]byte
}

// signers says who signs the views of an epoch.
type signers struct {
	version uint64 // of manifests
	list    []signer
	entropy *[32]byte // nil: that of the first signer
}

// manifest returns that of a view. prologue is what is fixed of it already, of
// length 0 for nothing.
func (l *lineage) manifest(name string, s *signers, prologue hypercrypto.TreeState, linked []hypercrypto.Key, userData []byte) *hypercrypto.Manifest {
	if len(s.list) == 0 {
		return &hypercrypto.Manifest{Version: 1, AllowPatch: true,
			Prologue: &hypercrypto.Prologue{Hash: hypercrypto.Sum(l.base[:], []byte(name))}}
	}
	entropy := s.list[0].namespace
	if s.entropy != nil {
		entropy = *s.entropy
	}
	m := &hypercrypto.Manifest{Version: s.version, AllowPatch: true, Quorum: uint64(len(s.list)/2 + 1)}
	ns := l.namespace(name, entropy)
	for _, one := range s.list {
		m.Signers = append(m.Signers, hypercrypto.Signer{Namespace: ns, PublicKey: one.public})
	}
	if prologue.Length > 0 {
		m.Prologue = &hypercrypto.Prologue{Hash: prologue.Hash, Length: prologue.Length}
	}
	if s.version >= 2 {
		m.Linked, m.UserData = linked, userData
	}
	return m
}

// nextEntropy returns the entropy of the epoch that begins with the given
// indexers at a length of the system core.
func nextEntropy(length uint64, before *[32]byte, indexers []hypercrypto.Key) [32]byte {
	b := binary.LittleEndian.AppendUint64(nil, length)
	if before == nil {
		b = append(b, nsGenesis[:]...)
	} else {
		b = append(b, before[:]...)
	}
	for _, k := range indexers {
		b = append(b, k[:]...)
	}
	return hypercrypto.Sum(nsNext[:], b)
}
