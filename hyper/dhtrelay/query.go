package dhtrelay

import (
	"context"
	"iter"
)

// onLookup finds who has announced a topic.
func (s *session) onLookup(m *lookup) error {
	topic := m.topic
	s.query(m.id, func(ctx context.Context) iter.Seq2[Reply, error] {
		return s.relay.node.Lookup(ctx, topic)
	})
	return nil
}

func (s *session) onAnnounce(m *announce) error {
	return s.announce(m, s.relay.node.Announce)
}

func (s *session) onUnannounce(m *announce) error {
	return s.announce(m, func(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error] {
		return func(yield func(Reply, error) bool) {
			if err := s.relay.node.Unannounce(ctx, topic, key); err != nil {
				yield(Reply{}, err)
			}
		}
	})
}

type announceFunc func(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error]

func (s *session) announce(m *announce, run announceFunc) error {
	kp, err := m.key.check()
	if err != nil {
		s.send(typeFinished, &number{m.id})
		return nil
	}
	key, topic := Identity{KeyPair: kp}, m.topic
	if kp == nil {
		key.Delegate = &delegate{session: s, public: m.key.public, query: m.id}
	}
	s.query(m.id, func(ctx context.Context) iter.Seq2[Reply, error] { return run(ctx, topic, key) })
	return nil
}

// query runs a query and tells the client its results. The protocol has no word
// for a failed one: it is finished.
func (s *session) query(id alias, start func(context.Context) iter.Seq2[Reply, error]) {
	s.requests.take()
	s.mu.Lock()
	full := s.queries >= s.opts.MaxQueries
	if !full {
		s.queries++
	}
	s.mu.Unlock()
	if full {
		s.relay.opts.Log.Debug("dhtrelay: too many queries")
		s.send(typeFinished, &number{id})
		return
	}
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.opts.RequestTimeout)
		defer cancel()
		for r, err := range start(ctx) {
			if err != nil {
				s.relay.opts.Log.Debug("dhtrelay: query", "err", err)
				break
			}
			if !s.drained(ctx) {
				break
			}
			s.send(typeResult, &result{id: id, data: r.appendTo(nil)})
		}
		s.mu.Lock()
		s.queries--
		s.mu.Unlock()
		s.send(typeFinished, &number{id})
	})
}

// drained waits until the client has read what was sent. It returns false if
// ctx ended first.
func (s *session) drained(ctx context.Context) bool {
	for {
		changed := s.changed.next()
		if s.channel.Drained() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
