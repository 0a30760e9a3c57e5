package hyperswarm

import (
	"context"
	"fmt"
)

// Mode says what to do at a topic.
type Mode int

// The modes.
const (
	Both       Mode = iota
	ClientOnly      // find others, stay unseen
	ServerOnly      // be found
)

// JoinOptions configures [Swarm.Join] and [Session.Refresh]. The zero value is
// ready to use.
type JoinOptions struct {
	Mode Mode
	// Limit is how many peers without a connection one refresh takes. Default:
	// all that are found.
	Limit int
}

// Session is one interest in a topic. Several of one topic share the work: it is
// announced while one of them is a server, and searched while one is a client.
type Session struct {
	d              *discovery
	server, client bool // guarded by Swarm.mu
}

// Join starts to announce and to search a topic, again and again, until the
// session is left. It does not wait; see [Session.Flushed].
func (s *Swarm) Join(topic Topic, opts *JoinOptions) (*Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	d := s.discoveries[topic]
	if d == nil {
		d = &discovery{swarm: s, topic: topic, sessions: make(map[*Session]struct{})}
		if old := s.leaving[topic]; old != nil {
			d.after = old.gone
		}
		s.discoveries[topic] = d
	}
	n := &Session{d: d}
	d.sessions[n] = struct{}{}
	n.setLocked(opts)
	if !s.suspended {
		d.refreshLocked()
	}
	return n, nil
}

// Leave leaves all sessions of a topic, and waits until it is unannounced. No
// connection is closed.
func (s *Swarm) Leave(ctx context.Context, topic Topic) error {
	s.mu.Lock()
	d := s.discoveries[topic]
	if d == nil {
		s.mu.Unlock()
		return nil
	}
	clear(d.sessions)
	gone := d.leaveLocked()
	s.mu.Unlock()
	return wait(ctx, gone)
}

func (n *Session) setLocked(opts *JoinOptions) {
	var o JoinOptions
	if opts != nil {
		o = *opts
	}
	n.server, n.client = o.Mode != ClientOnly, o.Mode != ServerOnly
	n.d.limit = o.Limit
}

// Topic returns what was joined.
func (n *Session) Topic() Topic { return n.d.topic }

// Refresh changes the options and searches at once, and waits for the result.
func (n *Session) Refresh(ctx context.Context, opts *JoinOptions) error {
	s := n.d.swarm
	s.mu.Lock()
	if _, joined := n.d.sessions[n]; !joined {
		s.mu.Unlock()
		return fmt.Errorf("hyperswarm: refresh of a topic that was left: %w", ErrClosed)
	}
	n.setLocked(opts)
	if s.suspended {
		s.mu.Unlock()
		return ErrSuspended
	}
	n.d.refreshLocked()
	s.mu.Unlock()
	return n.Flushed(ctx)
}

// Flushed waits until the topic is announced and searched once, and returns why
// that failed if it did. The swarm tries again by itself.
func (n *Session) Flushed(ctx context.Context) error { return n.d.flushed(ctx) }

func (d *discovery) flushed(ctx context.Context) error {
	for {
		d.swarm.mu.Lock()
		r := d.run
		d.swarm.mu.Unlock()
		if r == nil {
			return ErrSuspended
		}
		if err := wait(ctx, r.done); err != nil {
			return err
		}
		d.swarm.mu.Lock()
		newest := d.run == r
		d.swarm.mu.Unlock()
		if newest {
			return r.err
		}
	}
}

// Leave ends the interest. With the last one of a topic the topic is left; then
// Leave waits until it is unannounced.
func (n *Session) Leave(ctx context.Context) error {
	s, d := n.d.swarm, n.d
	s.mu.Lock()
	if _, joined := d.sessions[n]; !joined {
		s.mu.Unlock()
		return nil
	}
	delete(d.sessions, n)
	if len(d.sessions) == 0 {
		gone := d.leaveLocked()
		s.mu.Unlock()
		return wait(ctx, gone)
	}
	var r *refresh
	if server, _ := d.wants(); !server && d.announced && !s.suspended {
		r = d.refreshLocked() // takes the announcement away
	}
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	return wait(ctx, r.done)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
