package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpeer"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperswarm"
	"github.com/tradle/cloudpal/hyper/storage"
	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/fault"
)

// mirrorFolder is where a mirror keeps logs: a store of its own, so that strangers'
// logs and ours never meet, and a key of its own.
const mirrorFolder = "mirror"

// statsTime is the least time between two reports of a mirror.
const statsTime = time.Second

// mirror implements [api.Backend.Mirror].
func (n *Node) mirror(ctx context.Context, r api.MirrorRequest, report func(api.Peer), ready func(api.Mirroring), stats func(api.MirrorStats)) (err error) {
	n.mu.Lock()
	if n.ctx.Err() != nil {
		n.mu.Unlock()
		return fault.New(fault.Closing, "the node is closing")
	}
	n.wg.Add(1)
	n.mu.Unlock()
	defer n.wg.Done()
	trusted, err := api.ParseKeys("--trust", r.Trusted)
	if err != nil {
		return err
	}
	a := &announcer{made: make(chan struct{}), ctx: n.ctx}
	o := &blindpeer.Options{Trusted: trusted, TrustedOnly: r.TrustedOnly, MaxBytes: r.MaxBytes, MaxBytesPerClient: r.MaxBytesPerClient, Log: n.opts.Log}
	if r.Swarm != nil {
		o.Announce = a.announce
	}
	s, err := blindpeer.Open(ctx, filepath.Join(n.opts.Home, mirrorFolder), o)
	if err != nil {
		close(a.made)
		var locked *storage.LockedError
		if errors.As(err, &locked) {
			return fault.New(fault.Conflict, "a mirror runs here already").Hint("another one needs another data folder: set CLOUDPAL_HOME")
		}
		return explainOpen(n.opts.Home, err)
	}
	network := newNetwork(s.KeyPair(), s.Serve, nil, n.bandwidth, n.opts.Log)
	defer func() {
		err = errors.Join(err, s.Close()) // which ends the announcements
		a.wg.Wait()
		network.close()
	}()
	r.ByKey = true
	listen, leave, err := network.Join(ctx, r.Connect, report)
	a.network = network
	close(a.made)
	if err != nil {
		return err
	}
	defer leave()
	if r.Swarm != nil {
		if err := network.swarm.Listen(ctx); err != nil {
			return fmt.Errorf("be reachable as a mirror: %w", err)
		}
	}
	if listen == nil {
		listen = []string{}
	}
	ready(api.Mirroring{Type: api.TypeMirroring, Key: s.KeyPair().Public.String(), Listen: listen})
	return follow(ctx, s, stats)
}

// follow reports the numbers of a mirror when they change.
func follow(ctx context.Context, s *blindpeer.Server, stats func(api.MirrorStats)) error {
	tick := time.NewTicker(statsTime)
	defer tick.Stop()
	var last blindpeer.Stats
	for first := true; ; first = false {
		if now := s.Stats(); first || now != last {
			last = now
			stats(api.MirrorStats{Type: api.TypeMirrorStats, Logs: now.Logs, Open: now.Open, Announced: now.Announced, Bases: now.Bases, Clients: now.Clients,
				Connections: now.Connections, Bytes: now.Bytes, MaxBytes: now.MaxBytes, Orders: now.Orders, Added: now.Added, Deleted: now.Deleted,
				Forgotten: now.Forgotten, BytesCleared: now.BytesCleared, BytesReleased: now.BytesReleased, Refused: now.Refused, Downgraded: now.Downgraded, Wakeups: now.Wakeups})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announcer makes a mirror findable as a peer of logs.
type announcer struct {
	ctx     context.Context
	made    chan struct{} // closed when network is set, or never will be
	network *network
	wg      sync.WaitGroup // one goroutine for each announcement
}

func (a *announcer) announce(topic hypercrypto.DiscoveryKey, seek bool) (leave func()) {
	mode := hyperswarm.ServerOnly
	if seek {
		mode = hyperswarm.Both
	}
	ctx, cancel := context.WithCancel(a.ctx)
	a.wg.Go(func() {
		<-a.made
		if a.network == nil || ctx.Err() != nil {
			return
		}
		session, err := a.network.swarm.Join(hyperswarm.Topic(topic), &hyperswarm.JoinOptions{Mode: mode})
		if err != nil {
			return // the swarm is closed
		}
		<-ctx.Done()
		bye, stop := context.WithTimeout(context.Background(), leaveTime)
		defer stop()
		_ = session.Leave(bye) // or the announcement runs out
	})
	return cancel
}
