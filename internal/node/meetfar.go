package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/handoff"
)

// searchPause is the pause between two searches for a host, which may announce
// itself at any moment.
const searchPause = 3 * time.Second

// meetFar is a [handoff.Rendezvous] through the DHT. It has a swarm of its own with
// a key that is made for it alone, so that nobody can tell by the key whose it is.
type meetFar struct {
	settings *dhtSettings // nil if err says why there are none
	err      error
	swarm    *hyperswarm.Swarm
	came     chan *secretstream.Conn // takes connections while somebody wants them
}

func newMeetFar(c *api.Swarm, bandwidth *bandwidth, log *slog.Logger) *meetFar {
	m := &meetFar{came: make(chan *secretstream.Conn)}
	m.settings, m.err = parseSwarm(c)
	m.swarm = hyperswarm.New(m.offer, &hyperswarm.Options{
		MaxPeers: maxVisitors, MaxServerConnections: maxVisitors, Log: log,
		Relays: func() ([]hypercrypto.PublicKey, bool) { return m.settings.relays, m.settings.relayOnly },
		Open:   func(changed func()) (*hyperdht.DHT, error) { return m.settings.open(changed, bandwidth, log) },
	})
	return m
}

// close ends all connections.
func (m *meetFar) close() { _ = m.swarm.Close() }

// offer keeps a connection open until its ends do not want it any more.
func (m *meetFar) offer(ctx context.Context, c *hyperswarm.Conn) {
	select {
	case m.came <- c.Conn:
		<-ctx.Done()
	case <-ctx.Done():
	}
}

// Host implements [handoff.Rendezvous].
func (m *meetFar) Host(ctx context.Context, topic handoff.Topic, accept func(*secretstream.Conn)) error {
	if m.err != nil {
		return m.err
	}
	if _, err := m.swarm.Join(hyperswarm.Topic(topic), &hyperswarm.JoinOptions{Mode: hyperswarm.ServerOnly}); err != nil {
		return err
	}
	defer m.leave(topic)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case conn := <-m.came:
			wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				defer stop()
				accept(conn)
			})
		case <-ctx.Done():
			return nil
		}
	}
}

// Join implements [handoff.Rendezvous].
func (m *meetFar) Join(ctx context.Context, topic handoff.Topic) (*secretstream.Conn, error) {
	if m.err != nil {
		return nil, m.err
	}
	how := &hyperswarm.JoinOptions{Mode: hyperswarm.ClientOnly}
	s, err := m.swarm.Join(hyperswarm.Topic(topic), how)
	if err != nil {
		return nil, err
	}
	defer m.leave(topic)
	searching, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for _ = s.Flushed(searching); pause(searching, searchPause); {
			_ = s.Refresh(searching, how) // if it fails: the network may come back
		}
	})
	select {
	case conn := <-m.came:
		return conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *meetFar) leave(topic handoff.Topic) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	_ = m.swarm.Leave(ctx, hyperswarm.Topic(topic)) // the announcement expires
}
