package hyperswarm

import "context"

// listening is the server on its way.
type listening struct {
	done chan struct{}
	err  error // set before done is closed
}

// Listen makes the swarm reachable under its key. Joining a topic as a server
// does so too.
func (s *Swarm) Listen(ctx context.Context) error {
	s.mu.Lock()
	l, err := s.listenLocked()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Swarm) listenLocked() (*listening, error) {
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.listening != nil:
		return s.listening, nil
	case s.suspended:
		return nil, ErrSuspended
	}
	l := &listening{done: make(chan struct{})}
	s.listening = l
	s.wg.Go(func() {
		defer close(l.done)
		srv, err := s.net.listen(s.ctx, listenOptions{
			keyPair:  s.opts.KeyPair,
			firewall: s.refuse,
			relay:    func() relayChoice { return s.relayChoice(false) },
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			l.err, s.listening = err, nil // the next one tries again
			return
		}
		s.server = srv
		// The last connections are taken until Close.
		s.wg.Go(func() { s.accept(srv) })
	})
	return l, nil
}
