package invite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
)

// Network is a swarm with its DHT node as [blindpairing.Network]. The swarm's
// handler has to give each connection to the pairing:
//
//	p := blindpairing.New(invite.Network{Swarm: swarm}, nil)
//	…
//	m := protomux.New(conn, nil)
//	p.Attach(m)
//	err := store.ReplicateMux(ctx, m)
type Network struct{ Swarm *hyperswarm.Swarm }

var _ blindpairing.Network = Network{}

// leaveTime bounds the good-bye to a topic.
const leaveTime = 3 * time.Second

// Meet implements [blindpairing.Network].
func (n Network) Meet(topic hypercrypto.Hash, as blindpairing.Role) (leave func(), err error) {
	mode := hyperswarm.ServerOnly
	if as == blindpairing.Client {
		mode = hyperswarm.ClientOnly
	}
	s, err := n.Swarm.Join(hyperswarm.Topic(topic), &hyperswarm.JoinOptions{Mode: mode})
	if err != nil {
		return nil, fmt.Errorf("join the topic of an invite: %w", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		defer cancel()
		_ = s.Leave(ctx) // the announcement expires
	}, nil
}

// Get implements [blindpairing.Network].
func (n Network) Get(ctx context.Context, key hypercrypto.PublicKey) ([]byte, error) {
	d, err := n.Swarm.DHT()
	if err != nil {
		return nil, err
	}
	v, err := d.MutableGet(ctx, key, 0)
	if errors.Is(err, hyperdht.ErrNotFound) {
		return nil, blindpairing.ErrNoRecord
	}
	return v.Data, err
}

// Put implements [blindpairing.Network].
func (n Network) Put(ctx context.Context, kp *hypercrypto.KeyPair, value []byte) error {
	d, err := n.Swarm.DHT()
	if err != nil {
		return err
	}
	return d.MutablePut(ctx, kp, hyperdht.Value{Data: value})
}

// Announce implements [blindpairing.Network].
func (n Network) Announce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	d, err := n.Swarm.DHT()
	if err != nil {
		return err
	}
	_, err = d.Announce(ctx, hyperdht.Topic(topic), kp, nil)
	return err
}

// Unannounce implements [blindpairing.Network].
func (n Network) Unannounce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	d, err := n.Swarm.DHT()
	if err != nil {
		return err
	}
	return d.Unannounce(ctx, hyperdht.Topic(topic), kp, nil)
}

// Announced implements [blindpairing.Network].
func (n Network) Announced(ctx context.Context, topic hypercrypto.Hash) iter.Seq2[hypercrypto.PublicKey, error] {
	return func(yield func(hypercrypto.PublicKey, error) bool) {
		d, err := n.Swarm.DHT()
		if err != nil {
			yield(hypercrypto.PublicKey{}, err)
			return
		}
		for r, err := range d.Lookup(ctx, hyperdht.Topic(topic), nil) {
			if err != nil {
				yield(hypercrypto.PublicKey{}, err)
				return
			}
			for _, p := range r.Peers {
				if !yield(p.PublicKey, nil) {
					return
				}
			}
		}
	}
}
