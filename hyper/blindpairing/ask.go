package blindpairing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

const (
	// peerPause is the least time between two peers that are asked; up to half of it
	// is added at random. Most know nothing of the log, and need not learn of it all
	// at once.
	peerPause = time.Second
	// firstLook is when to look for the answer's record for the first time after the
	// request's was put. The pause doubles up to that of a poll.
	firstLook = 5 * time.Second
	// maxAnswers bounds the answers that wait to be opened.
	maxAnswers = 16
)

// asking is a call of Ask.
type asking struct {
	p       *Pairing
	t       *topic
	c       *Candidate
	wake    chan struct{} // look for records now
	channel chan struct{} // there is another channel
	answers chan []byte   // from anybody

	// Guarded by Pairing.mu.
	fresh []*protomux.Channel // not asked yet
}

// Ask asks with an invite until a member answers, ctx ends or Close is called:
// over the connections that come of its discovery key, and with a record that it
// leaves in the network. It returns what it was given. The error is the member's
// refusal ([ErrRejected], [ErrUsed], [ErrExpired]), that of ctx, [ErrClosed],
// [ErrActive] if another call asks for the same log, or that of the network.
func (p *Pairing) Ask(ctx context.Context, c *Candidate) (*Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(ErrClosed) })()
	a := &asking{p: p, c: c, wake: make(chan struct{}, 1), channel: make(chan struct{}, 1), answers: make(chan []byte, maxAnswers)}
	_, err := p.enter(c.discovery, func(t *topic) error {
		if t.candidate != nil {
			return ErrActive
		}
		a.t, t.candidate = t, a
		for _, l := range t.links {
			if l.open {
				a.offer(l.channel)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer a.t.leave(func(t *topic) { t.candidate = nil })
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	if p.net != nil {
		leave, err := p.net.Meet(hypercrypto.Hash(c.discovery), Client)
		if err != nil {
			return nil, fmt.Errorf("meet members: %w", err)
		}
		defer p.farewell(func(context.Context) { leave() })
		wg.Go(func() { a.useRecords(ctx) })
	}
	wg.Go(func() { a.askPeers(ctx) })
	for {
		select {
		case b := <-a.answers:
			answer, err := c.Receive(b)
			if !errors.Is(err, ErrAnswer) {
				return answer, err
			}
			p.opts.Log.Debug("blind pairing: an answer is not valid", "err", err)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// offer adds a channel to ask on. Pairing.mu is held.
func (a *asking) offer(c *protomux.Channel) {
	a.fresh = append(a.fresh, c)
	poke(a.channel)
}

// forget removes a channel that was closed. Pairing.mu is held.
func (a *asking) forget(c *protomux.Channel) {
	a.fresh = slices.DeleteFunc(a.fresh, func(f *protomux.Channel) bool { return f == c })
}

// take keeps an answer that arrived, unless there are too many.
func (a *asking) take(b []byte) {
	select {
	case a.answers <- b:
	default:
	}
}

// askPeers sends the request to one peer after the other.
func (a *asking) askPeers(ctx context.Context) {
	request := a.c.Request.AppendTo(nil)
	for {
		a.p.mu.Lock()
		var c *protomux.Channel
		if len(a.fresh) > 0 {
			c, a.fresh = a.fresh[0], a.fresh[1:]
		}
		a.p.mu.Unlock()
		if c == nil {
			select {
			case <-a.channel:
				continue
			case <-ctx.Done():
				return
			}
		}
		send(c, typeRequest, request)
		if !pause(ctx, peerPause+rand.N(peerPause/2), nil) {
			return
		}
	}
}

// useRecords leaves the request in the network and looks for the answer there.
func (a *asking) useRecords(ctx context.Context) {
	ask, reply := RecordKeys(a.c.Token())
	topic := RecordTopic(a.c.discovery)
	var (
		leave func()                          // ends being found at the log's topic
		again time.Time                       // when to announce again
		look  = min(firstLook, a.p.opts.Poll) // pause before the next look at the answer
	)
	for {
		if b, err := a.get(ctx, reply.Public); err == nil {
			a.take(b)
		} else if !errors.Is(err, ErrNoRecord) {
			a.p.opts.Log.Debug("blind pairing: look for an answer", "err", err)
		}
		if ctx.Err() == nil && !time.Now().Before(again) {
			if leave == nil {
				// A member that found the request comes by itself.
				leave = a.beFound()
			}
			if err := a.announce(ctx, topic, ask); err != nil {
				a.p.opts.Log.Debug("blind pairing: leave a request", "err", err) // again with the next look
			} else {
				again = time.Now().Add(a.p.pollPause())
			}
		}
		if !pause(ctx, look, a.wake) {
			break
		}
		look = min(2*look, a.p.opts.Poll)
	}
	if leave != nil {
		a.p.farewell(func(ctx context.Context) {
			leave()
			_ = a.p.net.Unannounce(ctx, topic, ask) // or it expires
		})
	}
}

func (a *asking) beFound() (leave func()) {
	leave, err := a.p.net.Meet(hypercrypto.Hash(a.c.discovery), Server)
	if err != nil {
		return func() {}
	}
	return leave
}

func (a *asking) get(ctx context.Context, key hypercrypto.PublicKey) (b []byte, err error) {
	err = within(ctx, func(ctx context.Context) (err error) { b, err = a.p.net.Get(ctx, key); return err })
	return b, err
}

// announce leaves the request and makes it known.
func (a *asking) announce(ctx context.Context, topic hypercrypto.Hash, kp *hypercrypto.KeyPair) error {
	err := within(ctx, func(ctx context.Context) error { return a.p.net.Put(ctx, kp, a.c.Request.AppendTo(nil)) })
	if err != nil {
		return fmt.Errorf("put request: %w", err)
	}
	err = within(ctx, func(ctx context.Context) error { return a.p.net.Announce(ctx, topic, kp) })
	if err != nil {
		return fmt.Errorf("announce request: %w", err)
	}
	return nil
}
