package node

import (
	"context"

	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/handoff"
)

// meeting is a [handoff.Rendezvous] that tries several at once.
type meeting []handoff.Rendezvous

// meet implements [api.Backend.Meet].
func (n *Node) meet(m api.Meeting, listening func([]string)) (handoff.Rendezvous, func()) {
	var ways meeting
	if m.Swarm != nil && m.Swarm.RelayOnly {
		m.LAN = nil // neighbours would see where this machine is
	}
	if m.LAN != nil || len(m.Listen) > 0 || len(m.Peers) > 0 {
		ways = append(ways, &meetNearby{Meeting: m, links: &n.network.links, listening: listening, spare: m.Swarm != nil, log: n.opts.Log, bandwidth: n.bandwidth})
	}
	leave := func() {}
	if m.Swarm != nil {
		far := newMeetFar(m.Swarm, n.bandwidth, n.opts.Log)
		ways, leave = append(ways, far), far.close
	}
	return ways, leave
}

var errNoWay = fault.New(fault.Usage, "the other side is looked for nowhere").
	Hint("leave out --no-lan or --no-dht, or name an address with --listen on the side of the code and --peer on the other")

// Host implements [handoff.Rendezvous]. It fails if one of them does.
func (m meeting) Host(ctx context.Context, topic handoff.Topic, accept func(*secretstream.Conn)) error {
	_, err := race(ctx, m, func(ctx context.Context, way handoff.Rendezvous) (*secretstream.Conn, error) {
		return nil, way.Host(ctx, topic, accept)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Join implements [handoff.Rendezvous]. The first connection counts.
func (m meeting) Join(ctx context.Context, topic handoff.Topic) (*secretstream.Conn, error) {
	return race(ctx, m, func(ctx context.Context, way handoff.Rendezvous) (*secretstream.Conn, error) {
		return way.Join(ctx, topic)
	})
}

// race goes all ways at once and returns the first result. The others are broken
// off, and connections that come too late are closed before anything was said on
// them.
func race(ctx context.Context, m meeting, try func(context.Context, handoff.Rendezvous) (*secretstream.Conn, error)) (*secretstream.Conn, error) {
	if len(m) == 0 {
		return nil, errNoWay
	}
	racing, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn *secretstream.Conn
		err  error
	}
	results := make(chan result)
	for _, way := range m {
		go func() {
			conn, err := try(racing, way)
			results <- result{conn, err}
		}()
	}
	first := <-results
	cancel()
	for range len(m) - 1 {
		if late := <-results; late.conn != nil {
			late.conn.Close()
		}
	}
	return first.conn, first.err
}
