package blindpairing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// Handler answers a request with [Opened.Accept] or [Opened.Refuse]. An error
// means that there is no answer now; the candidate may ask again. It is called
// concurrently, but never twice at a time for one session, and may take long. For
// one session it must always give the same answer; [Book.Answer] sees to that.
type Handler func(ctx context.Context, q *Request) (*Reply, error)

// Limits of a member. Strangers can send requests, so all of them are bounds for
// strangers.
const (
	maxHandlers = 16  // requests that are being answered
	maxPerPoll  = 64  // records that are fetched in one search
	maxSeen     = 512 // records that are known not to be of interest any more
)

// member is a call of Serve.
type member struct {
	p       *Pairing
	t       *topic
	ctx     context.Context
	handler Handler
	wake    chan struct{}  // search now
	found   chan struct{}  // a record was answered
	slots   chan struct{}  // holds one for each running handler
	wg      sync.WaitGroup // answers under way

	// Guarded by Pairing.mu.
	busy     map[*protomux.Channel]struct{} // channels with a request under way
	sessions map[[32]byte]*answering        // requests under way
	records  map[hypercrypto.PublicKey]bool // announced keys: true while they are looked at, false if that led to nothing
	seen     *recent[hypercrypto.PublicKey] // records that were answered or are junk
}

// answering is a request under way.
type answering struct {
	done  chan struct{}
	reply *Reply
	err   error
}

// Serve answers candidates of the log with that discovery key until ctx ends or
// Close is called. The error is nil then, [ErrActive] if another call serves the
// log, or that of the network.
func (p *Pairing) Serve(ctx context.Context, log hypercrypto.DiscoveryKey, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	m := &member{p: p, ctx: ctx, handler: h, wake: make(chan struct{}, 1), found: make(chan struct{}, 1), slots: make(chan struct{}, maxHandlers),
		busy: make(map[*protomux.Channel]struct{}), sessions: make(map[[32]byte]*answering), records: make(map[hypercrypto.PublicKey]bool),
		seen: newRecent[hypercrypto.PublicKey](maxSeen)}
	_, err := p.enter(log, func(t *topic) error {
		if t.member != nil {
			return ErrActive
		}
		m.t, t.member = t, m
		return nil
	})
	if err != nil {
		return err
	}
	defer m.wg.Wait()
	defer m.t.leave(func(t *topic) { t.member = nil })
	defer cancel()
	if p.net == nil {
		<-ctx.Done()
		return nil
	}
	leave, err := p.net.Meet(hypercrypto.Hash(log), Server)
	if err != nil {
		return fmt.Errorf("meet candidates: %w", err)
	}
	defer leave()
	m.search()
	return nil
}

// search looks for records of candidates, again and again. When it has answered
// some it looks for those candidates as peers, too: an answer over a connection is
// there at once, one in a record when they look for it.
func (m *member) search() {
	for m.ctx.Err() == nil {
		m.poll()
		next := time.NewTimer(m.p.pollPause())
		leave := func() {}
		for waiting := true; waiting; {
			select {
			case <-m.found:
				leave()
				l, err := m.p.net.Meet(hypercrypto.Hash(m.t.log), Client)
				if leave = l; err != nil {
					leave = func() {}
				}
			case <-next.C:
				waiting = false
			case <-m.wake:
				waiting = false
			case <-m.ctx.Done():
				waiting = false
			}
		}
		next.Stop()
		leave()
	}
}

// poll looks once and begins to answer what it finds.
func (m *member) poll() {
	for _, key := range m.announced() {
		select {
		case m.slots <- struct{}{}:
		case <-m.ctx.Done():
			return
		}
		m.note(key, true)
		m.wg.Go(func() {
			defer func() { <-m.slots }()
			err := m.answerRecord(key)
			if err == nil || errors.Is(err, ErrRequest) {
				m.settle(key)
			} else {
				m.note(key, false)
			}
			if err != nil {
				m.p.opts.Log.Debug("blind pairing: a record is not answered", "key", key, "err", err)
				return
			}
			poke(m.found)
		})
	}
}

func (m *member) note(key hypercrypto.PublicKey, underWay bool) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	m.records[key] = underWay
}

func (m *member) settle(key hypercrypto.PublicKey) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	delete(m.records, key)
	m.seen.add(key)
}

// announced returns keys to look at: new ones before those that led to nothing
// the last time.
func (m *member) announced() []hypercrypto.PublicKey {
	ctx, cancel := context.WithTimeout(m.ctx, recordTime)
	defer cancel()
	found := make(map[hypercrypto.PublicKey]struct{})
	for key, err := range m.p.net.Announced(ctx, RecordTopic(m.t.log)) {
		if err != nil {
			m.p.opts.Log.Debug("blind pairing: look up candidates", "err", err)
			break
		}
		if found[key] = struct{}{}; len(found) >= maxSeen {
			break
		}
	}
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	var fresh, again []hypercrypto.PublicKey
	for key := range found {
		switch underWay, known := m.records[key]; {
		case m.seen.has(key) || underWay:
		case known:
			again = append(again, key)
		default:
			fresh = append(fresh, key)
		}
	}
	for key, underWay := range m.records {
		if _, ok := found[key]; !ok && !underWay {
			delete(m.records, key)
		}
	}
	all := append(fresh, again...)
	return all[:min(len(all), maxPerPoll)]
}

// answerRecord answers the request in the record under a key. The error wraps
// ErrRequest if it is none.
func (m *member) answerRecord(key hypercrypto.PublicKey) error {
	var value []byte
	err := within(m.ctx, func(ctx context.Context) (err error) { value, err = m.p.net.Get(ctx, key); return err })
	if err != nil {
		return fmt.Errorf("get request: %w", err)
	}
	q, err := DecodeRequest(value)
	if err != nil {
		return err
	}
	r, err := m.answer(q)
	if err != nil {
		return err
	}
	_, reply := RecordKeys(r.token)
	err = within(m.ctx, func(ctx context.Context) error { return m.p.net.Put(ctx, reply, r.Message) })
	if err != nil {
		return fmt.Errorf("put answer: %w", err)
	}
	return nil
}

// takeLocked answers a request of a channel in the background, if that is not too
// much: one at a time per channel. Pairing.mu is held.
func (m *member) takeLocked(c *protomux.Channel, b []byte) {
	if _, ok := m.busy[c]; ok || m.ctx.Err() != nil {
		return
	}
	q, err := DecodeRequest(b)
	if err != nil {
		return
	}
	select {
	case m.slots <- struct{}{}:
	default:
		return
	}
	m.busy[c] = struct{}{}
	m.wg.Go(func() {
		defer func() { <-m.slots }()
		r, err := m.answer(q)
		m.p.mu.Lock()
		delete(m.busy, c)
		m.p.mu.Unlock()
		if err != nil {
			m.p.opts.Log.Debug("blind pairing: a request is not answered", "err", err)
			return
		}
		send(c, typeAnswer, r.Message)
	})
}

// answer asks the handler, once for all ways on which the same request arrives.
func (m *member) answer(q *Request) (*Reply, error) {
	m.p.mu.Lock()
	a, again := m.sessions[q.Session]
	if !again {
		a = &answering{done: make(chan struct{})}
		m.sessions[q.Session] = a
	}
	m.p.mu.Unlock()
	if again {
		select {
		case <-a.done:
			return a.reply, a.err
		case <-m.ctx.Done():
			return nil, m.ctx.Err()
		}
	}
	a.reply, a.err = m.handler(m.ctx, q)
	m.p.mu.Lock()
	delete(m.sessions, q.Session)
	m.p.mu.Unlock()
	close(a.done)
	return a.reply, a.err
}
