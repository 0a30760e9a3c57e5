package node

import (
	"context"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/invite"
)

// pairingPoll is how often it is looked for requests and answers in the DHT.
const pairingPoll = time.Minute

// pairing is the network as [blindpairing.Network]: while the node takes part in no
// DHT there are only the connections that it has anyway.
type pairing struct{ n *network }

func (p pairing) through() (invite.Network, bool) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	return invite.Network{Swarm: p.n.swarm}, p.n.dht != nil
}

// Meet implements [blindpairing.Network].
func (p pairing) Meet(topic hypercrypto.Hash, as blindpairing.Role) (leave func(), err error) {
	if n, ok := p.through(); ok {
		return n.Meet(topic, as)
	}
	return func() {}, nil
}

// Get implements [blindpairing.Network].
func (p pairing) Get(ctx context.Context, key hypercrypto.PublicKey) ([]byte, error) {
	if n, ok := p.through(); ok {
		return n.Get(ctx, key)
	}
	return nil, blindpairing.ErrNoRecord
}

// Put implements [blindpairing.Network].
func (p pairing) Put(ctx context.Context, kp *hypercrypto.KeyPair, value []byte) error {
	if n, ok := p.through(); ok {
		return n.Put(ctx, kp, value)
	}
	return nil
}

// Announce implements [blindpairing.Network].
func (p pairing) Announce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	if n, ok := p.through(); ok {
		return n.Announce(ctx, topic, kp)
	}
	return nil
}

// Unannounce implements [blindpairing.Network].
func (p pairing) Unannounce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	if n, ok := p.through(); ok {
		return n.Unannounce(ctx, topic, kp)
	}
	return nil
}

// Announced implements [blindpairing.Network].
func (p pairing) Announced(ctx context.Context, topic hypercrypto.Hash) iter.Seq2[hypercrypto.PublicKey, error] {
	if n, ok := p.through(); ok {
		return n.Announced(ctx, topic)
	}
	return func(func(hypercrypto.PublicKey, error) bool) {}
}
