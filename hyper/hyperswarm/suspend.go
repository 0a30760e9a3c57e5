package hyperswarm

import (
	"context"
	"sync"
)

// Suspend takes the node out of the network, for the time in which a machine
// sleeps: topics are unannounced, all connections ended, sockets closed. What was
// joined stays joined for Resume.
func (s *Swarm) Suspend(ctx context.Context) error {
	s.mu.Lock()
	if s.closed || s.suspended {
		s.mu.Unlock()
		return nil
	}
	s.suspended = true
	var waits []func()
	for _, d := range s.discoveries {
		waits = append(waits, d.stopLocked())
	}
	listening := s.listening
	s.mu.Unlock()

	var wg sync.WaitGroup
	for _, w := range waits {
		wg.Go(w)
	}
	if listening != nil {
		<-listening.done
	}
	wg.Wait()
	s.endAll()
	s.mu.Lock()
	for _, p := range s.peers {
		stopRetry(p)
		if p.queued {
			s.queue.remove(p)
		}
		s.disposeLocked(p)
	}
	s.flushAllLocked()
	s.mu.Unlock()
	return s.net.suspend(ctx)
}

// Resume reverses Suspend: everything is announced and searched again.
func (s *Swarm) Resume() error {
	s.mu.Lock()
	idle := s.closed || !s.suspended
	s.mu.Unlock()
	if idle {
		return nil
	}
	if err := s.net.resume(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.suspended {
		return nil
	}
	s.suspended = false
	for _, d := range s.discoveries {
		d.refreshLocked()
	}
	for p := range s.explicit {
		if s.links[p.key] == nil && p.eligible() {
			s.queue.add(p)
		}
	}
	s.pumpLocked()
	return nil
}

// NetworkChanged makes the swarm look whether its connections are alive, and
// announce and search at once. The DHT node calls it when addresses change and
// when the network is back.
func (s *Swarm) NetworkChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.suspended {
		return
	}
	for _, l := range s.links {
		if l.conn != nil {
			l.conn.Probe()
		}
	}
	for _, d := range s.discoveries {
		d.refreshLocked()
	}
}
