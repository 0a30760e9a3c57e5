package hyperdht

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/secretstream"
)

// A connection through NATs breaks off when one side gets another address: its
// packets are not let in where it moved from or to. Both sides still have the
// stream and its keys, so they only need a new hole. The client says again,
// through nodes that know where the server is now, what it said at first. A
// server that has the connection gives the same answer as then, and the hole is
// punched as it was at first, with further rounds under the same key. Any other
// answer is none.

// seekWait is how long a silent peer is looked for before the next try.
const seekWait = 10 * time.Second

var errOther = errors.New("hyperdht: the answer is not that of the connection")

// onSilence is called while the other side does not answer.
func (l *link) onSilence() {
	l.mu.Lock()
	again := l.again
	if again == nil || l.seeking || l.ended || l.path == PathRelayed {
		l.mu.Unlock()
		return
	}
	l.seeking = true
	l.mu.Unlock()
	done := func() {
		l.mu.Lock()
		l.seeking = false
		l.mu.Unlock()
	}
	if !l.d.goTask(func() {
		defer done()
		if ctx := l.seek(); ctx != nil {
			again(ctx)
		}
	}) {
		done()
	}
}

// seek begins to look for another path, until one is found, which ends the
// context. The result is nil if the path in use may well be good.
func (l *link) seek() context.Context {
	if l.stream.Silence() < time.Second {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || !l.connected || l.path == PathRelayed {
		return nil
	}
	l.isDirect()
	l.direct, l.isDirect = context.WithCancel(l.ctx)
	return l.direct
}

// untilDirect ends when there is a direct path.
func (l *link) untilDirect() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.direct
}

// seekLater makes the link find the peer of g again when it falls silent.
func (c *dialer) seekLater(message []byte, g *greeting) {
	if c.o.OnlyRelay || c.own.delegate != nil {
		return
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.again = func(ctx context.Context) {
		if err := c.seek(ctx, message, g); err != nil {
			c.d.o.Log.Debug("a silent peer was not found", "err", err)
		}
	}
}

func (c *dialer) seek(ctx context.Context, message []byte, first *greeting) error {
	asking, cancel := context.WithTimeout(ctx, seekWait)
	defer cancel()
	g, err := c.handshake(asking, message, func(noise []byte) (*payload, *secretstream.Session, error) {
		if !bytes.Equal(noise, first.noise) {
			return nil, nil, errOther
		}
		return first.payload, first.session, nil
	})
	if err != nil {
		return err
	}
	// What the peer said of its public addresses was true at first.
	c.round.Add(1) // the server takes up the hole punch with a round that it has not seen
	p := *first.payload
	p.addresses4 = slices.DeleteFunc(slices.Clone(p.addresses4), func(a netip.AddrPort) bool { return !isPrivate(a.Addr()) })
	if p.punch != nil {
		p.punch = &punchInfo{id: p.punch.id, relays: []relayPair{{relay: g.node, peer: g.server}}}
	}
	g.payload = &p
	ways := c.directWays(g)
	errs := make([]error, len(ways))
	var wg sync.WaitGroup
	for i, way := range ways {
		wg.Go(func() { errs[i] = way(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
