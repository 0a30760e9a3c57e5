package autobase

import (
	"context"
	"encoding/binary"
	"maps"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// testRing is a ring whose keys follow from their numbers.
type testRing struct {
	mu   sync.Mutex
	keys map[uint32]hypercrypto.EncryptionKey
}

func newRing(epochs ...uint32) *testRing {
	r := &testRing{keys: make(map[uint32]hypercrypto.EncryptionKey)}
	for _, n := range epochs {
		r.add(n)
	}
	return r
}

func (r *testRing) add(epoch uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[epoch] = hypercrypto.EncryptionKey(hypercrypto.Sum(binary.LittleEndian.AppendUint32([]byte("epoch"), epoch)))
}

func (r *testRing) Key(epoch uint32) (hypercrypto.EncryptionKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[epoch]
	return k, ok
}

func (r *testRing) all() map[uint32]hypercrypto.EncryptionKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.keys)
}

var _ = context.Background
