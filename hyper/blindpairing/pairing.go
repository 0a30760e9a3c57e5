package blindpairing

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

var (
	// ErrClosed: Close was called.
	ErrClosed = errors.New("blindpairing: closed")
	// ErrActive: this side already plays that part for the log.
	ErrActive = errors.New("blindpairing: already pairing for this log")
	// ErrNoRecord: no node has a record under that key. A [Network] returns it.
	ErrNoRecord = errors.New("blindpairing: no record")
)

// Role says how to meet peers at a topic.
type Role int

// The roles.
const (
	Server Role = iota + 1 // be found
	Client                 // find others
)

// Network is what a [Pairing] needs of a swarm and of a DHT. Its methods may be
// called concurrently.
type Network interface {
	// Meet connects to peers at a topic until leave is called, which may wait a
	// little. The connections that come of it have to be given to [Pairing.Attach].
	Meet(topic hypercrypto.Hash, as Role) (leave func(), err error)
	// Get returns the newest mutable record under a key, or ErrNoRecord.
	Get(ctx context.Context, key hypercrypto.PublicKey) ([]byte, error)
	// Put stores a mutable record of at most MaxRecord bytes, with sequence number 0.
	// To store it again is no error.
	Put(ctx context.Context, kp *hypercrypto.KeyPair, value []byte) error
	// Announce and Unannounce make a key known at a topic and take it back.
	Announce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error
	Unannounce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error
	// Announced yields the keys that are announced at a topic; the same key may come
	// many times.
	Announced(ctx context.Context, topic hypercrypto.Hash) iter.Seq2[hypercrypto.PublicKey, error]
}

// MaxRecord is the largest record of the network in bytes.
const MaxRecord = 1000

// Options configures [New]. The zero value is ready to use.
type Options struct {
	// Poll is the least time between two searches for records; up to half of it is
	// added at random. Default 7 minutes, the least is a second.
	Poll time.Duration
	// Log receives events at level Debug; nil discards them.
	Log *slog.Logger
}

func (o *Options) defaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Poll == 0 {
		c.Poll = 7 * time.Minute
	}
	c.Poll = max(c.Poll, time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Pairing brings candidates and members together: over connections, and over
// records of the network for those who are never online at the same time. It is
// safe for concurrent use.
type Pairing struct {
	net  Network // nil: connections only
	opts Options

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // farewells

	mu     sync.Mutex // guards what follows, and the topics; never held across a call of net
	closed bool
	muxes  map[*protomux.Mux]struct{}
	topics map[hypercrypto.DiscoveryKey]*topic
}

// New returns a pairing that uses the network; nil leaves it with the connections
// that it is given.
func New(network Network, opts *Options) *Pairing {
	p := &Pairing{net: network, opts: opts.defaults(), muxes: make(map[*protomux.Mux]struct{}), topics: make(map[hypercrypto.DiscoveryKey]*topic)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close ends all calls of Serve and Ask and waits for what they began. It is safe
// to call twice. Connections stay open.
func (p *Pairing) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
	return nil
}

// Refresh searches for records at once: the network has changed, or the machine
// was asleep.
func (p *Pairing) Refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.topics {
		if t.member != nil {
			poke(t.member.wake)
		}
		if t.candidate != nil {
			poke(t.candidate.wake)
		}
	}
}

// poke makes a receiver look again. c holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pollPause is the pause before the next search.
func (p *Pairing) pollPause() time.Duration { return p.opts.Poll + rand.N(p.opts.Poll/2) }

// pause waits, at most d, and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// farewellTime bounds what is done for others at the end.
const farewellTime = 10 * time.Second

// farewell runs fn in the background, for a limited time. Close waits for it.
func (p *Pairing) farewell(fn func(ctx context.Context)) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.wg.Go(func() {
			ctx, cancel := context.WithTimeout(p.ctx, farewellTime)
			defer cancel()
			fn(ctx)
		})
	}
	p.mu.Unlock()
	if closed {
		fn(p.ctx) // has ended
	}
}

// recordTime bounds one operation on the network.
const recordTime = 30 * time.Second

// within bounds the time of one operation.
func within(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	return fn(ctx)
}
