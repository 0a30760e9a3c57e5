package hyperswarm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// world is a DHT and a network in memory, with real encrypted connections.
type world struct {
	latency func() time.Duration // of one way

	mu      sync.Mutex // guards what follows
	records map[Topic]map[hypercrypto.PublicKey]hyperdht.Peer
	servers map[hypercrypto.PublicKey]*worldServer
	dials   []dial
	lookups []lookup
	flood   func(Topic) [][]hyperdht.Peer // what else lookups answer
	blocked func(from, to hypercrypto.PublicKey, r relayChoice) error
	running map[hypercrypto.PublicKey]int // dials of a node at this moment
	most    int                           // of running
}

type dial struct {
	from, to hypercrypto.PublicKey
	at       time.Time
	relay    relayChoice
}

var errNoPeer = errors.New("no such peer")

func newWorld() *world {
	return &world{
		latency: func() time.Duration { return 5*time.Millisecond + mrand.N(50*time.Millisecond) },
		records: make(map[Topic]map[hypercrypto.PublicKey]hyperdht.Peer), servers: make(map[hypercrypto.PublicKey]*worldServer),
		running: make(map[hypercrypto.PublicKey]int),
	}
}

// worldNode is one node of a world.
type worldNode struct {
	w      *world
	key    hypercrypto.PublicKey
	random bool
	dead   bool         // guarded by world.mu
	server *worldServer // guarded by world.mu
}

func (n *worldNode) pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *worldNode) connect(ctx context.Context, key hypercrypto.PublicKey, o connectOptions) (stream, error) {
	w := n.w
	w.mu.Lock()
	w.dials = append(w.dials, dial{n.key, key, time.Now(), o.relay})
	w.running[n.key]++
	w.most = max(w.most, w.running[n.key])
	var err error
	if n.dead {
		err = errNoPeer
	} else if w.blocked != nil {
		err = w.blocked(n.key, key, o.relay)
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running[n.key]--
		w.mu.Unlock()
	}()
	if err := n.pass(ctx, w.latency()); err != nil {
		return stream{}, err
	}
	if err != nil {
		return stream{}, err
	}
	w.mu.Lock()
	srv := w.servers[key]
	w.mu.Unlock()
	if srv == nil {
		return stream{}, errNoPeer
	}
	if srv.o.firewall(n.key) {
		// Silence.
		if err := n.pass(ctx, 10*time.Second); err != nil {
			return stream{}, err
		}
		return stream{}, errNoPeer
	}
	client, remote := w.pair(n.key, key)
	kind := hyperdht.PathDirect
	if o.relay.through != nil {
		kind = hyperdht.PathRelayed
	}
	path := func() Path { return Path{Kind: kind} }
	select {
	case srv.conns <- stream{Conn: remote, path: path}:
	case <-srv.closed:
		client.Close()
		remote.Close()
		return stream{}, errNoPeer
	}
	if err := n.pass(ctx, w.latency()); err != nil {
		client.Close()
		return stream{}, err
	}
	return stream{Conn: client, path: path}, nil
}

// pair returns the two ends of a new connection.
func (w *world) pair(from, to hypercrypto.PublicKey) (client, server *secretstream.Conn) {
	var ours, theirs secretstream.Session
	rand.Read(ours.TX[:])
	rand.Read(ours.RX[:])
	rand.Read(ours.HandshakeHash[:])
	theirs = ours
	ours.Initiator, ours.PublicKey, ours.RemotePublicKey = true, from, to
	theirs.TX, theirs.RX = ours.RX, ours.TX
	theirs.PublicKey, theirs.RemotePublicKey = to, from
	a, b := net.Pipe()
	opts := &secretstream.Options{KeepAlive: 5 * time.Second}
	client, _ = secretstream.New(a, ours, opts)
	server, _ = secretstream.New(b, theirs, opts)
	return client, server
}

func (n *worldNode) listen(ctx context.Context, o listenOptions) (server, error) {
	if err := n.pass(ctx, n.w.latency()); err != nil {
		return nil, err
	}
	s := &worldServer{n: n, o: o, conns: make(chan stream, 1024), closed: make(chan struct{})}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.server = s
	n.w.servers[n.key] = s
	return s, nil
}

func (n *worldNode) lookup(ctx context.Context, topic Topic, how lookup, _ *hyperdht.Search, report func([]hyperdht.Peer)) error {
	if err := n.pass(ctx, n.w.latency()); err != nil {
		return err
	}
	w := n.w
	w.mu.Lock()
	w.lookups = append(w.lookups, how)
	var all [][]hyperdht.Peer
	var answer []hyperdht.Peer
	for _, f := range w.records[topic] {
		answer = append(answer, f)
	}
	for a := range slices.Chunk(answer, 20) {
		all = append(all, a)
	}
	if w.flood != nil {
		all = append(all, w.flood(topic)...)
	}
	if how.announce {
		if w.records[topic] == nil {
			w.records[topic] = make(map[hypercrypto.PublicKey]hyperdht.Peer)
		}
		w.records[topic][n.key] = hyperdht.Peer{PublicKey: n.key}
	}
	if how.unannounce {
		delete(w.records[topic], n.key)
	}
	w.mu.Unlock()
	for _, a := range all {
		report(a)
	}
	return nil
}

func (n *worldNode) unannounce(ctx context.Context, topic Topic, _ *hypercrypto.KeyPair, _ *hyperdht.Search) error {
	if err := n.pass(ctx, n.w.latency()); err != nil {
		return err
	}
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	delete(n.w.records[topic], n.key)
	return nil
}

func (n *worldNode) randomized() bool { return n.random }
func (n *worldNode) close() error     { return nil }

func (n *worldNode) suspend(context.Context) error {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	delete(n.w.servers, n.key)
	return nil
}

func (n *worldNode) resume() error {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if n.server != nil {
		n.w.servers[n.key] = n.server
	}
	return nil
}

type worldServer struct {
	n      *worldNode
	o      listenOptions
	conns  chan stream
	closed chan struct{}
}

func (s *worldServer) accept(ctx context.Context) (stream, error) {
	select {
	case st := <-s.conns:
		return st, nil
	case <-s.closed:
		return stream{}, net.ErrClosed
	case <-ctx.Done():
		return stream{}, ctx.Err()
	}
}

func (s *worldServer) relays() []netip.AddrPort { return nil }

func (s *worldServer) close() error {
	s.n.w.mu.Lock()
	defer s.n.w.mu.Unlock()
	if s.n.w.servers[s.n.key] == s {
		delete(s.n.w.servers, s.n.key)
	}
	close(s.closed)
	// What nobody accepted ends here.
	for {
		select {
		case st := <-s.conns:
			st.Close()
		default:
			return nil
		}
	}
}

func (w *world) record(t Topic) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.records[t])
}

// put has a topic name a peer that need not exist.
func (w *world) put(t Topic, key hypercrypto.PublicKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.records[t] == nil {
		w.records[t] = make(map[hypercrypto.PublicKey]hyperdht.Peer)
	}
	w.records[t][key] = hyperdht.Peer{PublicKey: key}
}

// searches returns all lookups so far.
func (w *world) searches() []lookup {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lookups)
}

// parallel returns the most attempts that one node ever made at a time.
func (w *world) parallel() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// crash makes a node vanish without a word: its connections stay open at the
// other side.
func (w *world) crash(m *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.servers, m.key())
	m.node.dead = true
}

func (w *world) dialsTo(key hypercrypto.PublicKey) (list []dial) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dials {
		if d.to == key {
			list = append(list, d)
		}
	}
	return list
}

// member is a swarm in a world that reads all it gets.
type member struct {
	*Swarm
	node *worldNode

	mu     sync.Mutex
	opened int
	now    map[hypercrypto.PublicKey]int // handlers running, by key
	most   int                           // of now
}

// keyPair returns a key pair from a number.
func keyPair(n int) *hypercrypto.KeyPair {
	return hypercrypto.KeyPairFromSeed(hypercrypto.Sum([]byte("swarm"), []byte{byte(n), byte(n >> 8)}))
}

// orderedPairs returns two key pairs, the first with the smaller public key.
func orderedPairs(n int) (small, large *hypercrypto.KeyPair) {
	small, large = keyPair(2*n), keyPair(2*n+1)
	if bytes.Compare(small.Public[:], large.Public[:]) > 0 {
		small, large = large, small
	}
	return small, large
}

func (w *world) join(t *testing.T, kp *hypercrypto.KeyPair, opts Options) *member {
	t.Helper()
	opts.KeyPair = kp
	m := &member{node: &worldNode{w: w, key: kp.Public}, now: make(map[hypercrypto.PublicKey]int)}
	m.Swarm = newSwarm(m.node, m.read, opts.withDefaults())
	t.Cleanup(func() { m.Close() })
	return m
}

func (m *member) read(ctx context.Context, c *Conn) {
	key := c.RemotePublicKey()
	m.mu.Lock()
	m.opened++
	m.now[key]++
	m.most = max(m.most, m.now[key])
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.now[key]--
		m.mu.Unlock()
	}()
	for {
		if _, err := c.ReadFrame(); err != nil {
			return
		}
	}
}

func (m *member) key() hypercrypto.PublicKey { return m.KeyPair().Public }

// to returns the connection to a key, or nil.
func (m *member) to(key hypercrypto.PublicKey) *Conn { return m.Connection(key) }

func (m *member) state(key hypercrypto.PublicKey) (PeerInfo, bool) {
	for _, p := range m.Peers() {
		if p.PublicKey == key {
			return p, true
		}
	}
	return PeerInfo{}, false
}
