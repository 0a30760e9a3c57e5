package blindpairing

import (
	"context"
	"errors"
	"iter"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// world is a network in memory: records, announcements and topics that connect.
type world struct {
	t *testing.T

	mu        sync.Mutex // guards what follows
	records   map[hypercrypto.PublicKey][]byte
	announced map[hypercrypto.Hash]map[hypercrypto.PublicKey]bool
	at        map[hypercrypto.Hash]map[*place]map[Role]int
	connects  bool // whether peers at a topic get connected
	lookups   int
	gets      int
}

func newWorld(t *testing.T, connects bool) *world {
	return &world{t: t, connects: connects, records: make(map[hypercrypto.PublicKey][]byte),
		announced: make(map[hypercrypto.Hash]map[hypercrypto.PublicKey]bool), at: make(map[hypercrypto.Hash]map[*place]map[Role]int)}
}

// place is a node of the world: a Network and the Pairing on it.
type place struct {
	w *world
	*Pairing
	ends  sync.WaitGroup
	peers map[*place]bool // guarded by w.mu
}

func (w *world) place(opts *Options) *place {
	p := &place{w: w, peers: make(map[*place]bool)}
	p.Pairing = New(p, opts)
	w.t.Cleanup(p.end)
	return p
}

// end leaves the world.
func (p *place) end() {
	p.Close()
	p.Pairing.mu.Lock()
	var muxes []*protomux.Mux
	for m := range p.muxes {
		muxes = append(muxes, m)
	}
	p.Pairing.mu.Unlock()
	for _, m := range muxes {
		m.Close()
	}
	p.ends.Wait()
}

func (p *place) Meet(topic hypercrypto.Hash, as Role) (func(), error) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at[topic] == nil {
		w.at[topic] = make(map[*place]map[Role]int)
	}
	if w.at[topic][p] == nil {
		w.at[topic][p] = make(map[Role]int)
	}
	w.at[topic][p][as]++
	if w.connects {
		for other, roles := range w.at[topic] {
			if other != p && !p.peers[other] && (roles[Server] > 0 && as == Client || roles[Client] > 0 && as == Server) {
				p.peers[other], other.peers[p] = true, true
				connect(p, other)
			}
		}
	}
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.at[topic][p][as]--
	}), nil
}

// connect joins two places by an encrypted connection in memory.
func connect(a, b *place) {
	left, right := net.Pipe()
	for _, side := range []struct {
		p    *place
		conn net.Conn
		dial func(context.Context, net.Conn) (*secretstream.Conn, error)
	}{
		{a, left, func(ctx context.Context, c net.Conn) (*secretstream.Conn, error) {
			return secretstream.Client(ctx, c, nil)
		}},
		{b, right, func(ctx context.Context, c net.Conn) (*secretstream.Conn, error) {
			return secretstream.Server(ctx, c, nil)
		}},
	} {
		side.p.ends.Go(func() {
			c, err := side.dial(context.Background(), side.conn)
			if err != nil {
				return
			}
			m := protomux.New(c, nil)
			side.p.Attach(m)
			_ = m.Run(side.p.ctx)
		})
	}
}

func (p *place) Get(_ context.Context, key hypercrypto.PublicKey) ([]byte, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.gets++
	b, ok := p.w.records[key]
	if !ok {
		return nil, ErrNoRecord
	}
	return b, nil
}

func (p *place) Put(_ context.Context, kp *hypercrypto.KeyPair, value []byte) error {
	if len(value) > MaxRecord {
		return errors.New("too large")
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if old, ok := p.w.records[kp.Public]; ok && !slices.Equal(old, value) {
		p.w.t.Errorf("another record under the same key")
	}
	p.w.records[kp.Public] = slices.Clone(value)
	return nil
}

func (p *place) Announce(_ context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.announced[topic] == nil {
		p.w.announced[topic] = make(map[hypercrypto.PublicKey]bool)
	}
	p.w.announced[topic][kp.Public] = true
	return nil
}

func (p *place) Unannounce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	delete(p.w.announced[topic], kp.Public)
	return nil
}

func (p *place) Announced(_ context.Context, topic hypercrypto.Hash) iter.Seq2[hypercrypto.PublicKey, error] {
	return func(yield func(hypercrypto.PublicKey, error) bool) {
		p.w.mu.Lock()
		p.w.lookups++
		var keys []hypercrypto.PublicKey
		for k := range p.w.announced[topic] {
			keys = append(keys, k, k) // as from two nodes
		}
		p.w.mu.Unlock()
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// announcements counts what is announced at the topic of a log.
func (w *world) announcements(log hypercrypto.DiscoveryKey) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.announced[RecordTopic(log)])
}
