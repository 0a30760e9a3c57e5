package blindpeer

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// Connector keeps connections to peers by their keys, again and again, until the
// peer is left. A Hyperswarm does.
type Connector interface {
	JoinPeer(key hypercrypto.PublicKey)
	LeavePeer(key hypercrypto.PublicKey)
}

const (
	// defaultPick is how many mirrors keep one thing, if there are more.
	defaultPick = 2
	// updateDelay is how long changes of what to keep are collected.
	updateDelay = 2 * time.Second
)

// Client asks mirrors to keep logs. It is safe for concurrent use.
type Client struct {
	connector Connector
	joining   sync.Mutex // held while the connector is called; taken before mu

	mu      sync.Mutex // guards what follows; never held in callbacks
	links   map[hypercrypto.PublicKey]*link
	muxes   map[hypercrypto.PublicKey]*protomux.Mux
	keeping map[*Keeping]struct{}
	closed  bool
	wg      sync.WaitGroup // of those who tell mirrors
}

// link is a mirror that something is to be kept at.
type link struct {
	key  hypercrypto.PublicKey
	refs int
	ch   *protomux.Channel // on the present connection; nil without one
	open bool              // the mirror answered
	sent map[*Keeping]map[hypercrypto.Key]uint64

	calls   *calls        // on the present connection
	changed chan struct{} // closed and replaced when calls is set
}

// Subject is what mirrors are to keep.
type Subject struct {
	// Logs returns the logs. They must be in the store that is replicated on the
	// connections of the client. It is called from several goroutines, and may wait for a
	// peer, but must end before [Client.Close].
	Logs func() []Log
	// Target decides which of the mirrors keep it: those whose keys are closest, so
	// that everybody chooses the same. It is the key of the base, or of the log.
	Target hypercrypto.Key
	// Mirrors are the public keys to choose from, Pick how many to choose. Default 2.
	Mirrors []hypercrypto.PublicKey
	Pick    int

	// Referrer, Priority and Announce are as in [AddOptions]. The logs of a base have
	// its key as referrer and PriorityNormal.
	Referrer *hypercrypto.Key
	Priority uint64
	Announce bool

	// OnMirror, if set, is called when a mirror was reached or lost. It must not wait.
	OnMirror func(mirror hypercrypto.PublicKey, reached bool)
}

// Keeping is a subject that mirrors are told of.
type Keeping struct {
	c       *Client
	subject Subject
	mirrors []hypercrypto.PublicKey
	links   []*link     // to them, set once
	timer   *time.Timer // of an update; guarded by Client.mu
	closed  bool        // guarded by Client.mu
}

// NewClient returns a client that reaches mirrors through a connector. It has to
// be told of connections; see [Client.Attach].
func NewClient(c Connector) *Client {
	return &Client{connector: c, links: make(map[hypercrypto.PublicKey]*link), muxes: make(map[hypercrypto.PublicKey]*protomux.Mux), keeping: make(map[*Keeping]struct{})}
}

// Close forgets all subjects and leaves the mirrors. It may be called twice.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	var all []*Keeping
	for k := range c.keeping {
		all = append(all, k)
	}
	c.mu.Unlock()
	for _, k := range all {
		k.Close()
	}
	c.wg.Wait()
}

// Attach tells the client of a connection, to whomever, until detach is called. The
// caller runs the mux, with the store of the logs on it.
func (c *Client) Attach(m *protomux.Mux) (detach func()) {
	key := m.Stream().RemotePublicKey()
	c.mu.Lock()
	c.muxes[key] = m
	l := c.links[key]
	c.mu.Unlock()
	if l != nil {
		c.connected(l, m)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.muxes[key] == m {
			delete(c.muxes, key)
		}
	}
}

// Keep has mirrors keep a subject until the result is closed, which does not take
// back what was kept.
func (c *Client) Keep(s Subject) (*Keeping, error) {
	k := &Keeping{c: c, subject: s, mirrors: closest(s.Target, s.Mirrors, s.Pick)}
	for _, key := range k.mirrors {
		l, err := c.reach(key)
		if err != nil {
			k.leave()
			return nil, err
		}
		k.links = append(k.links, l)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		k.leave()
		return nil, ErrClosed
	}
	c.keeping[k] = struct{}{}
	c.mu.Unlock()
	for _, key := range k.mirrors {
		if c.tell(key, k) && s.OnMirror != nil {
			s.OnMirror(key, true)
		}
	}
	return k, nil
}

// Repeat is Update that tells mirrors also of what they were told: they put logs away that
// nobody had for them.
func (k *Keeping) Repeat() {
	k.c.mu.Lock()
	for _, l := range k.c.links {
		delete(l.sent, k)
	}
	k.c.mu.Unlock()
	k.Update()
}

// Update says that there may be other logs now, and that mirrors are to be told of
// those that are new or have another length, after a short while. It does not wait.
func (k *Keeping) Update() {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.closed || k.timer != nil {
		return
	}
	c.wg.Add(1)
	k.timer = time.AfterFunc(updateDelay, func() {
		defer c.wg.Done()
		c.mu.Lock()
		k.timer = nil
		c.mu.Unlock()
		for _, key := range k.mirrors {
			c.tell(key, k)
		}
	})
}

// Mirrors returns the mirrors that were chosen, and whether each is reached now.
func (k *Keeping) Mirrors() map[hypercrypto.PublicKey]bool {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	state := make(map[hypercrypto.PublicKey]bool)
	for _, key := range k.mirrors {
		l := k.c.links[key]
		state[key] = l != nil && l.open
	}
	return state
}

// Close ends telling mirrors of the subject. It may be called twice.
func (k *Keeping) Close() {
	c := k.c
	c.mu.Lock()
	if k.closed {
		c.mu.Unlock()
		return
	}
	k.closed = true
	delete(c.keeping, k)
	if k.timer != nil && k.timer.Stop() {
		c.wg.Done()
	}
	for _, l := range k.links {
		delete(l.sent, k)
	}
	c.mu.Unlock()
	k.leave()
}

func (k *Keeping) leave() {
	for _, l := range k.links {
		k.c.leave(l)
	}
}

// Reach has a mirror connected to until leave is called, to read from it.
func (c *Client) Reach(mirror hypercrypto.PublicKey) (leave func(), err error) {
	l, err := c.reach(mirror)
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { c.leave(l) }), nil
}

// reach has a mirror connected to, until leave.
func (c *Client) reach(mirror hypercrypto.PublicKey) (*link, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	l := c.links[mirror]
	if l != nil {
		l.refs++
		c.mu.Unlock()
		return l, nil
	}
	l = &link{key: mirror, refs: 1, changed: make(chan struct{})}
	c.links[mirror] = l
	m := c.muxes[mirror]
	c.mu.Unlock()
	c.join(mirror)
	if m != nil {
		c.connected(l, m)
	}
	return l, nil
}

func (c *Client) leave(l *link) {
	c.mu.Lock()
	if l.refs--; l.refs > 0 {
		c.mu.Unlock()
		return
	}
	delete(c.links, l.key)
	ch, calls := l.ch, l.calls
	c.mu.Unlock()
	c.join(l.key)
	if ch != nil {
		ch.Close()
	}
	if calls != nil {
		calls.ch.Close()
	}
}

// join has the connector keep a connection to a mirror, or not, as it is wanted now: who
// wants it and who does not any more may do so at the same moment.
func (c *Client) join(mirror hypercrypto.PublicKey) {
	c.joining.Lock()
	defer c.joining.Unlock()
	c.mu.Lock()
	wanted := c.links[mirror] != nil
	c.mu.Unlock()
	if wanted {
		c.connector.JoinPeer(mirror)
	} else {
		c.connector.LeavePeer(mirror)
	}
}

// connected opens the channels to a mirror.
func (c *Client) connected(l *link, m *protomux.Mux) {
	calls, err := openCalls(m)
	if err != nil {
		return // the connection has ended
	}
	ch, err := m.Open(protomux.ChannelOptions{
		Protocol: protocol,
		Messages: []func(*protomux.Channel, []byte) error{msgOrder: func(*protomux.Channel, []byte) error { return nil }},
		OnOpen:   func(ch *protomux.Channel, _ []byte) error { c.changed(l, ch, true); return nil },
		OnClose:  func(ch *protomux.Channel, _ bool) { c.changed(l, ch, false) },
	})
	if err != nil {
		return // the connection has ended
	}
	c.mu.Lock()
	// The channel may have been answered, or closed, in the meantime.
	if l.ch != ch {
		l.ch, l.open, l.sent = ch, false, make(map[*Keeping]map[hypercrypto.Key]uint64)
	}
	if ch.Closed() {
		l.ch, l.open = nil, false
	}
	l.calls = calls
	close(l.changed)
	l.changed = make(chan struct{})
	if !c.closed {
		// What there is to tell may have to come over this very connection, which the caller
		// is about to run.
		c.wg.Go(func() { c.tellAll(l) })
	}
	c.mu.Unlock()
}

// changed follows the state of a channel to a mirror.
func (c *Client) changed(l *link, ch *protomux.Channel, open bool) {
	c.mu.Lock()
	if l.ch != ch {
		if !open {
			c.mu.Unlock()
			return
		}
		l.ch, l.sent = ch, make(map[*Keeping]map[hypercrypto.Key]uint64)
	}
	was := l.open
	l.open = open
	if !open {
		l.ch, l.calls = nil, nil
	}
	var report []func(hypercrypto.PublicKey, bool)
	for k := range c.keeping {
		if k.subject.OnMirror != nil && slices.Contains(k.mirrors, l.key) && was != open {
			report = append(report, k.subject.OnMirror)
		}
	}
	c.mu.Unlock()
	for _, fn := range report {
		fn(l.key, open)
	}
}

func (c *Client) tellAll(l *link) {
	c.mu.Lock()
	var list []*Keeping
	for k := range c.keeping {
		if slices.Contains(k.mirrors, l.key) {
			list = append(list, k)
		}
	}
	c.mu.Unlock()
	for _, k := range list {
		c.tell(l.key, k)
	}
}

// tell sends a mirror the logs of a subject that it was not told of on this
// connection, with these lengths, and returns whether the mirror is reached.
func (c *Client) tell(mirror hypercrypto.PublicKey, k *Keeping) (reached bool) {
	logs := k.subject.Logs()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links[mirror]
	if l == nil || l.ch == nil || k.closed {
		return false
	}
	sent := l.sent[k]
	if sent == nil {
		sent = make(map[hypercrypto.Key]uint64)
		l.sent[k] = sent
	}
	logs = slices.DeleteFunc(slices.Clone(logs), func(g Log) bool {
		length, told := sent[g.Key]
		sent[g.Key] = g.Length
		return told && length == g.Length
	})
	for part := range slices.Chunk(logs, maxPerSend) {
		o := order{Referrer: k.subject.Referrer, Priority: k.subject.Priority, Announce: k.subject.Announce, Logs: part}
		l.ch.SendFunc(msgOrder, 64+41*len(part), o.appendTo)
	}
	return l.open
}

// closest returns the n keys nearest to a target by XOR.
func closest(target hypercrypto.Key, keys []hypercrypto.PublicKey, n int) []hypercrypto.PublicKey {
	if n <= 0 {
		n = defaultPick
	}
	distance := func(k hypercrypto.PublicKey) (d [32]byte) {
		for i := range d {
			d[i] = k[i] ^ target[i]
		}
		return d
	}
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(a, b hypercrypto.PublicKey) int {
		x, y := distance(a), distance(b)
		return bytes.Compare(x[:], y[:])
	})
	sorted = slices.Compact(sorted)
	return sorted[:min(n, len(sorted))]
}
