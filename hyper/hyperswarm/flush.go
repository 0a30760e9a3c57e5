package hyperswarm

import "context"

// flush waits for peers to be tried. Guarded by Swarm.mu.
type flush struct {
	waiting map[*peer]struct{}
	done    chan struct{} // closed when waiting is empty
}

// Flush waits until the topics are announced and searched, and then until every
// peer that is known at that moment was tried once, or no more may be tried.
func (s *Swarm) Flush(ctx context.Context) error {
	s.mu.Lock()
	var topics []*discovery
	for _, d := range s.discoveries {
		topics = append(topics, d)
	}
	s.mu.Unlock()
	for _, d := range topics {
		// What could not be searched has no peers to wait for.
		if _ = d.flushed(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	f := &flush{waiting: make(map[*peer]struct{}), done: make(chan struct{})}
	if s.attempts > 0 || !s.fullLocked() {
		s.queue.each(func(p *peer) { f.waiting[p] = struct{}{} })
		for _, l := range s.links {
			if l.conn == nil {
				f.waiting[l.peer] = struct{}{}
			}
		}
	}
	if len(f.waiting) == 0 {
		s.mu.Unlock()
		return nil
	}
	s.flushes[f] = struct{}{}
	s.mu.Unlock()
	err := wait(ctx, f.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flushes, f)
	if err == nil && s.closed {
		err = ErrClosed
	}
	return err
}

// settleLocked tells those who wait that a peer was tried.
func (s *Swarm) settleLocked(p *peer) {
	for f := range s.flushes {
		delete(f.waiting, p)
		if len(f.waiting) == 0 {
			delete(s.flushes, f)
			close(f.done)
		}
	}
}

// flushAllLocked tells those who wait that nobody will be tried any more.
func (s *Swarm) flushAllLocked() {
	for f := range s.flushes {
		close(f.done)
	}
	clear(s.flushes)
}
