package space

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	// keysName is where the keys of epochs are kept, beside this device's blob log:
	// uint version, uint count, { 32 key }.
	keysName    = "cloudpal/keys"
	keysVersion = 1
	// maxOffered bounds the keys that are remembered before it is known what they are.
	maxOffered = 1 << 12
)

var nsEpochKey = hypercrypto.Namespace("cloudpal/space", 3)

// epochHash names the key of an epoch: what members agree on without seeing it.
func epochHash(key hypercrypto.EncryptionKey) hypercrypto.Hash {
	return hypercrypto.Sum(nsEpochKey[:], key[:])
}

// epochNumber is how blocks name the epoch.
func epochNumber(h hypercrypto.Hash) uint32 { return binary.LittleEndian.Uint32(h[:]) }

func newEpochKey() (key hypercrypto.EncryptionKey) {
	for {
		rand.Read(key[:]) // never fails
		if epochNumber(epochHash(key)) != 0 {
			return key
		}
	}
}

// ring is the keys that a device has of the epochs of a space. A key counts when the
// state says that it is one, by its hash: what somebody sealed for this device alone is
// remembered until then.
type ring struct {
	core  *hypercore.Core // beside which the keys are kept
	log   *slog.Logger
	learn func() // called after there are more keys

	change sync.Mutex // held across changes of what is kept

	mu      sync.RWMutex // guards what follows
	keys    map[uint32]hypercrypto.EncryptionKey
	list    []hypercrypto.EncryptionKey // as they came
	offered map[hypercrypto.Hash]hypercrypto.EncryptionKey
	wanted  map[hypercrypto.Hash]struct{}
}

// openRing returns the ring that is kept beside a log.
func openRing(core *hypercore.Core, log *slog.Logger) (*ring, error) {
	r := &ring{
		core: core, log: log, learn: func() {}, keys: make(map[uint32]hypercrypto.EncryptionKey),
		offered: make(map[hypercrypto.Hash]hypercrypto.EncryptionKey), wanted: make(map[hypercrypto.Hash]struct{}),
	}
	b, err := core.UserData(keysName)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return r, nil
	}
	keys, err := decodeKeys(b)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		r.keys[epochNumber(epochHash(k))] = k
	}
	r.list = keys
	return r, nil
}

func appendKeyList(b []byte, keys []hypercrypto.EncryptionKey) []byte {
	b = compact.AppendUint(b, uint64(len(keys)))
	for _, k := range keys {
		b = append(b, k[:]...)
	}
	return b
}

func readKeyList(r *compact.Reader) (keys []hypercrypto.EncryptionKey) {
	for range r.Count(32) {
		keys = append(keys, r.Fixed32())
	}
	return keys
}

func decodeKeys(b []byte) ([]hypercrypto.EncryptionKey, error) {
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != keysVersion {
		return nil, fmt.Errorf("%w: keys of version %d", errRecord, v)
	}
	keys := readKeyList(&r)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w of keys: %w", errRecord, err)
	}
	return keys, nil
}

// Key implements [hypercrypto.KeyRing].
func (r *ring) Key(epoch uint32) (hypercrypto.EncryptionKey, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[epoch]
	return k, ok
}

func (r *ring) has(epoch uint32) bool {
	_, ok := r.Key(epoch)
	return ok
}

// all returns the keys in the order they came.
func (r *ring) all() []hypercrypto.EncryptionKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.list)
}

func (r *ring) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.list)
}

// add makes keys count, after they are stored.
func (r *ring) add(keys ...hypercrypto.EncryptionKey) error {
	r.change.Lock()
	defer r.change.Unlock()
	list := r.all()
	n := len(list)
	for _, k := range keys {
		if _, ok := r.Key(epochNumber(epochHash(k))); !ok && !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	if len(list) == n {
		return nil
	}
	if err := r.core.SetUserData(keysName, appendKeyList(compact.AppendUint(nil, keysVersion), list)); err != nil {
		return fmt.Errorf("keep keys of epochs: %w", err)
	}
	r.mu.Lock()
	for _, k := range list[n:] {
		h := epochHash(k)
		r.keys[epochNumber(h)] = k
		delete(r.offered, h)
		delete(r.wanted, h)
	}
	r.list = list
	r.mu.Unlock()
	r.learn()
	return nil
}

// want says that the key with a hash is one of the space. It counts now, or when it
// comes.
func (r *ring) want(h hypercrypto.Hash) {
	r.mu.Lock()
	_, known := r.keys[epochNumber(h)]
	k, ok := r.offered[h]
	if !known && !ok {
		r.wanted[h] = struct{}{}
	}
	r.mu.Unlock()
	if !known && ok {
		r.tryAdd(k)
	}
}

// offer takes keys of which it is not known whether the space has them.
func (r *ring) offer(keys ...hypercrypto.EncryptionKey) {
	var good []hypercrypto.EncryptionKey
	r.mu.Lock()
	for _, k := range keys {
		h := epochHash(k)
		if _, known := r.keys[epochNumber(h)]; known {
			continue
		}
		if _, ok := r.wanted[h]; ok {
			good = append(good, k)
		} else if len(r.offered) < maxOffered {
			r.offered[h] = k
		}
	}
	r.mu.Unlock()
	if len(good) > 0 {
		r.tryAdd(good...)
	}
}

// tryAdd adds keys where a failure is no reason to stop: the space waits for them, and
// asks for them again.
func (r *ring) tryAdd(keys ...hypercrypto.EncryptionKey) {
	if err := r.add(keys...); err != nil {
		r.log.Debug("space: keys are not kept", "error", err)
		r.mu.Lock()
		for _, k := range keys {
			r.offered[epochHash(k)] = k
		}
		r.mu.Unlock()
	}
}

// epoch is that of new blocks of contents.
func (s *Space) epoch() uint32 {
	if b := s.running.Load(); b != nil {
		return b.KeyEpoch()
	}
	return 0
}

// openBlobs opens a log of contents.
func (s *Space) openBlobs(ctx context.Context, o corestore.GetOptions, key hypercrypto.Key) (*hypercore.Core, error) {
	o.Encryption = hypercrypto.RingEncryption(*s.Record().Encryption, key, s.ring, s.epoch)
	return s.store.Get(ctx, o)
}

// openKeys opens this device's log of contents, and the ring beside it.
func (s *Space) openKeys(ctx context.Context, known []hypercrypto.EncryptionKey) error {
	c, err := s.store.Get(ctx, corestore.GetOptions{Name: blobsName})
	if err != nil {
		return err
	}
	if s.ring, err = openRing(c, s.l.opts.Log); err == nil {
		s.ring.learn = func() {
			if b := s.running.Load(); b != nil {
				b.KeysChanged()
			}
		}
		err = s.ring.add(known...)
	}
	if err == nil {
		s.blobs, err = s.openBlobs(ctx, corestore.GetOptions{Name: blobsName}, c.Key())
	}
	if err != nil {
		c.Close()
	}
	return err
}
