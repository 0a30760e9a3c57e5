package hyperswarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// Errors of a swarm.
var (
	// ErrClosed: Close was called. It matches net.ErrClosed.
	ErrClosed = fmt.Errorf("hyperswarm: %w", net.ErrClosed)
	// ErrSuspended: Suspend was called. Try again after Resume.
	ErrSuspended = errors.New("hyperswarm: suspended")
	// ErrDuplicate: there is a better connection to the same key.
	ErrDuplicate = errors.New("hyperswarm: duplicate connection")
	// ErrRefused: the key is banned or the own one, or there are too many
	// connections.
	ErrRefused = errors.New("hyperswarm: peer refused")
)

// Swarm finds peers and keeps connections to them. It is safe for concurrent
// use. Close must be called.
type Swarm struct {
	opts   Options                       // set once
	handle Handler                       // set once
	net    network                       // set once
	node   func() (*hyperdht.DHT, error) // opens the node of net; set once
	pauses pauses                        // set once

	ctx    context.Context // ends with the swarm
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines; none is added once closed is set

	mu sync.Mutex // guards what follows and all peers, links and discoveries

	closed, suspended bool

	peers    map[hypercrypto.PublicKey]*peer
	explicit map[*peer]struct{}
	queue    queue
	links    map[hypercrypto.PublicKey]*link         // connections and attempts
	handled  map[hypercrypto.PublicKey]chan struct{} // link.gone of the last link, until it is closed
	budget   budget
	wake     *time.Timer // for when the budget allows another attempt

	attempts         int // running, also those that are not in links any more
	clients, servers int // open connections and attempts by who began

	discoveries map[Topic]*discovery
	leaving     map[Topic]*discovery // unannouncing
	flushes     map[*flush]struct{}

	server    server
	listening *listening

	stats Stats
}

// Stats counts what a swarm has done.
type Stats struct {
	Attempted                  uint64 // dials
	ClientsOpened, ClientsGone uint64 // Gone counts failed attempts too
	ServersOpened, ServersGone uint64
	Duplicates                 uint64 // connections that gave way to another to the same key
	Refused                    uint64 // peers refused by a ban, a limit or the firewall
	Forgotten                  uint64 // peers dropped because too many were found
}

// New returns a swarm that has handle speak with the peers. It sends nothing
// until the first topic or peer is joined.
func New(handle Handler, opts *Options) *Swarm {
	o := opts.withDefaults()
	n := &node{open: o.Open}
	s := newSwarm(n, handle, o)
	n.changed = s.NetworkChanged
	s.node = n.get
	return s
}

// newSwarm returns a swarm over a network, which it owns.
func newSwarm(n network, handle Handler, opts Options) *Swarm {
	s := &Swarm{
		opts: opts, handle: handle, net: n, pauses: newPauses(),
		peers: make(map[hypercrypto.PublicKey]*peer), explicit: make(map[*peer]struct{}), links: make(map[hypercrypto.PublicKey]*link), handled: make(map[hypercrypto.PublicKey]chan struct{}),
		discoveries: make(map[Topic]*discovery), leaving: make(map[Topic]*discovery), flushes: make(map[*flush]struct{}),
		budget: budget{tokens: strangerBurst},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// KeyPair returns the identity of the swarm.
func (s *Swarm) KeyPair() *hypercrypto.KeyPair { return s.opts.KeyPair }

// DHT returns the swarm's node, for records and announcements of other kinds. It
// is opened if nothing has needed it yet, and closed by the swarm only.
func (s *Swarm) DHT() (*hyperdht.DHT, error) { return s.node() }

// Stats returns the counters as they are now.
func (s *Swarm) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Connections returns the open connections.
func (s *Swarm) Connections() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Conn
	for _, l := range s.links {
		if l.conn != nil {
			list = append(list, l.conn)
		}
	}
	return list
}

// Connection returns the open connection to a key, or nil.
func (s *Swarm) Connection(key hypercrypto.PublicKey) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[key]; l != nil {
		return l.conn
	}
	return nil
}

// PeerState is where a peer is on its way to a connection.
type PeerState string

// The states of a peer.
const (
	Idle       PeerState = "idle" // given up, or waiting to be found again
	Queued     PeerState = "queued"
	Connecting PeerState = "connecting"
	Connected  PeerState = "connected"
	Waiting    PeerState = "waiting" // before another attempt
)

// PeerInfo describes a peer.
type PeerInfo struct {
	PublicKey hypercrypto.PublicKey
	State     PeerState
	// Topics are the joined topics at which the peer was found.
	Topics []Topic
	// Attempts counts connections and attempts that ended since the last one
	// that lasted.
	Attempts int
	// Explicit and Banned say what was asked for.
	Explicit, Banned bool
}

// Peers returns the known peers in no particular order.
func (s *Swarm) Peers() []PeerInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]PeerInfo, 0, len(s.peers))
	for _, p := range s.peers {
		i := PeerInfo{PublicKey: p.key, State: Idle, Topics: s.topicsLocked(p), Attempts: p.attempts, Explicit: p.explicit, Banned: p.banned}
		switch l := s.links[p.key]; {
		case l != nil && l.conn != nil:
			i.State = Connected
		case l != nil:
			i.State = Connecting
		case p.queued:
			i.State = Queued
		case p.retry != nil:
			i.State = Waiting
		}
		list = append(list, i)
	}
	return list
}

func (s *Swarm) topicsLocked(p *peer) []Topic {
	var list []Topic
	for t := range p.topics {
		if s.discoveries[t] != nil {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b Topic) int { return slices.Compare(a[:], b[:]) })
	return list
}

// Ban refuses a peer from now on and ends its connection, or lets it in again.
func (s *Swarm) Ban(key hypercrypto.PublicKey, banned bool) {
	s.mu.Lock()
	var end func()
	if p := s.peerLocked(key); p != nil {
		if p.banned = banned; banned {
			if p.queued {
				s.queue.remove(p)
				s.settleLocked(p)
			}
			stopRetry(p)
			if l := s.links[key]; l != nil {
				end = l.end
			}
		}
		s.disposeLocked(p)
	}
	s.mu.Unlock()
	if end != nil {
		end()
	}
}

// JoinPeer keeps a connection to a peer, even beyond MaxPeers, until LeavePeer.
func (s *Swarm) JoinPeer(key hypercrypto.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peerLocked(key)
	if p == nil || s.closed {
		return
	}
	p.explicit = true
	s.explicit[p] = struct{}{}
	if s.links[key] == nil && p.eligible() {
		s.enqueueLocked(p)
	}
}

// LeavePeer takes JoinPeer back. A connection stays open.
func (s *Swarm) LeavePeer(key hypercrypto.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[key]
	if p == nil {
		return
	}
	p.explicit = false
	delete(s.explicit, p)
	s.disposeLocked(p)
}

// peerLocked returns the peer of a key, made if need be; nil for the own key.
func (s *Swarm) peerLocked(key hypercrypto.PublicKey) *peer {
	if key == s.opts.KeyPair.Public {
		return nil
	}
	p := s.peers[key]
	if p == nil {
		p = &peer{key: key, priority: normal}
		s.peers[key] = p
	}
	return p
}

// disposeLocked forgets a peer if nothing is lost with it.
func (s *Swarm) disposeLocked(p *peer) {
	if p.disposable() && s.links[p.key] == nil && s.peers[p.key] == p {
		delete(s.peers, p.key)
	}
}

// foundLocked handles a peer that a DHT node named.
func (s *Swarm) foundLocked(topic Topic, f hyperdht.Peer) {
	p := s.peers[f.PublicKey]
	if p == nil {
		if len(s.peers) >= maxKnown && !s.makeRoomLocked() {
			s.stats.Forgotten++
			return
		}
		p = s.peerLocked(f.PublicKey)
	}
	p.relays = f.Relays[:min(len(f.Relays), maxRelays):min(len(f.Relays), maxRelays)] // newer is better
	if p.topics == nil {
		p.topics = make(map[Topic]struct{}, 1)
	}
	p.topics[topic] = struct{}{}
	if s.links[f.PublicKey] != nil || s.closed {
		return
	}
	if p.priority < normal || !p.dialed {
		p.forget()
	}
	if p.eligible() {
		s.enqueueLocked(p)
	}
}

// makeRoomLocked forgets a random stranger of the queue.
func (s *Swarm) makeRoomLocked() bool {
	p := s.queue.find(func(p *peer) bool { return p.stranger() && s.links[p.key] == nil })
	if p == nil {
		return false
	}
	s.queue.remove(p)
	s.settleLocked(p)
	stopRetry(p)
	s.disposeLocked(p)
	s.stats.Forgotten++
	return true
}

func (s *Swarm) enqueueLocked(p *peer) {
	s.queue.add(p)
	s.pumpLocked()
}

// retryLocked queues a peer again after a while, if anybody still wants it.
func (s *Swarm) retryLocked(p *peer) {
	wanted := p.explicit
	for t := range p.topics {
		wanted = wanted || s.discoveries[t] != nil
	}
	d, ok := s.pauses.after(p)
	if !wanted || !ok || s.closed || s.suspended {
		return
	}
	stopRetry(p)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.retry != t {
			return
		}
		p.retry = nil
		if !s.suspended && !s.closed && s.links[p.key] == nil && p.eligible() {
			s.enqueueLocked(p)
		}
		s.disposeLocked(p)
	})
	p.retry = t
}

func stopRetry(p *peer) {
	if p.retry != nil {
		p.retry.Stop()
		p.retry = nil
	}
}

// Topics returns the joined topics.
func (s *Swarm) Topics() []Topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.discoveries))
}

// Close leaves all topics, ends all connections and waits for handlers and for
// the DHT node. It is safe to call twice.
func (s *Swarm) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.wg.Wait()
		return nil
	}
	gone := s.leaveAllLocked()
	s.closed = true
	for _, p := range s.peers {
		stopRetry(p)
	}
	if s.wake != nil {
		s.wake.Stop()
	}
	s.flushAllLocked()
	s.mu.Unlock()
	for _, g := range gone {
		<-g
	}
	s.cancel()
	s.endAll()
	s.wg.Wait()
	var errs []error
	if s.server != nil {
		errs = append(errs, s.server.close())
	}
	return errors.Join(append(errs, s.net.close())...)
}

// endAll ends all connections and attempts and waits for them.
func (s *Swarm) endAll() {
	s.mu.Lock()
	var ends []func()
	for _, l := range s.links {
		ends = append(ends, l.end)
	}
	gone := slices.Collect(maps.Values(s.handled))
	s.mu.Unlock()
	for _, end := range ends {
		end()
	}
	for _, g := range gone {
		<-g
	}
}
