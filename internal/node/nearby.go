package node

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/lan"
	"github.com/tradle/cloudpal/internal/api"
)

// Limits of what neighbours can make the node do.
const (
	// maxNearby is how many addresses a request dials at the same time, and
	// maxPerNeighbour how many of them at one machine.
	maxNearby       = 64
	maxPerNeighbour = 4
	// lookTime is how long reads wait for somebody to be seen: two questions and
	// their answers.
	lookTime = 1500 * time.Millisecond
)

// nearby is the part of a request that meets peers on the local link.
type nearby struct {
	n      *network
	node   *lan.Node
	report func(api.Peer)
	seen   func() // to be called when somebody was seen
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	dialing map[netip.AddrPort]*dialing
}

// dialing is an address that is dialed, for as long as it is announced at one of
// the topics or connected.
type dialing struct {
	topics int
	gone   chan struct{} // closed when topics is 0
}

// meetNearby announces the topics of a request at the ports, looks for others
// that do, and keeps connections to them.
func (n *network) meetNearby(c *api.Connect, ports []uint16, report func(api.Peer)) (leave func(), err error) {
	node, release, err := n.links.use(c.LAN.Interfaces)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	// Reads wait a moment for somebody to be seen, and then as for any peer that
	// is dialed.
	looked := sync.OnceFunc(n.finding())
	late := time.AfterFunc(lookTime, looked)
	m := &nearby{n: n, node: node, report: report, seen: looked, dialing: make(map[netip.AddrPort]*dialing)}
	var stops []func()
	for _, r := range c.Rooms {
		if r.Announce {
			for _, port := range ports {
				stop, err := node.Announce(lan.Topic(r.Topic), port)
				if err != nil {
					n.log.Warn("not announced on the local network", "topic", r.Topic, "err", err)
					break
				}
				stops = append(stops, stop)
			}
		}
		m.wg.Go(func() { m.browse(ctx, lan.Topic(r.Topic)) })
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
		late.Stop()
		m.wg.Wait()
		looked()
		release()
	}, nil
}

// browse follows the announcements of a topic until ctx ends.
func (m *nearby) browse(ctx context.Context, topic lan.Topic) {
	for e, err := range m.node.Browse(ctx, topic) {
		switch {
		case err != nil:
			return
		case e.Gone:
			m.lost(e.Addr)
		default:
			m.found(ctx, e.Addr)
		}
	}
}

func (m *nearby) found(ctx context.Context, a netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dialing[a]; d != nil {
		if d.topics++; d.topics == 1 {
			d.gone = make(chan struct{})
		}
		return
	}
	same := 0
	for other := range m.dialing {
		if other.Addr() == a.Addr() {
			same++
		}
	}
	if len(m.dialing) >= maxNearby || same >= maxPerNeighbour {
		m.n.log.Debug("too many announcements on the local network", "ignored", a)
		return
	}
	d := &dialing{topics: 1, gone: make(chan struct{})}
	m.dialing[a] = d
	m.wg.Go(func() { m.keep(ctx, a, d) })
}

func (m *nearby) lost(a netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dialing[a]; d != nil && d.topics > 0 {
		if d.topics--; d.topics == 0 {
			close(d.gone)
		}
	}
}

// keep dials an address until its announcement is gone and, as an announcement
// that gets lost says nothing about a connection that works, the connection is
// too.
func (m *nearby) keep(ctx context.Context, a netip.AddrPort, d *dialing) {
	dialer, release, err := m.n.dial("tcp://"+a.String(), true, m.report)
	m.seen()
	if err != nil {
		return // closing
	}
	defer release()
	for {
		m.mu.Lock()
		gone := d.gone
		m.mu.Unlock()
		select {
		case <-gone:
			dialer.disconnected(ctx)
		case <-ctx.Done():
			return
		}
		m.mu.Lock()
		if d.topics == 0 {
			delete(m.dialing, a)
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
	}
}
