package blindpeer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/storage"
)

// maxTasks bounds the orders and calls of one connection that wait. When it is
// full the connection is not read.
const maxTasks = 16

// conn is the server's side of one connection.
type conn struct {
	s     *Server
	m     *protomux.Mux
	key   hypercrypto.PublicKey
	tasks chan func(context.Context)

	wakers map[hypercrypto.DiscoveryKey]*waker // guarded by Server.mu
}

func newConn(s *Server, m *protomux.Mux) *conn {
	c := &conn{s: s, m: m, key: m.Stream().RemotePublicKey(), tasks: make(chan func(context.Context), maxTasks),
		wakers: make(map[hypercrypto.DiscoveryKey]*waker)}
	m.Pair(protocol, nil, func(id []byte) {
		if len(id) == 0 {
			c.openChannel(protocol, id, c.onOrder)
		}
	})
	own := s.keyPair.Public
	m.Pair(rpcProtocol, own[:], func(id []byte) { c.openChannel(rpcProtocol, id, c.onCall) })
	m.Pair(wakeupProtocol, nil, c.onWakeup)
	return c
}

func (c *conn) openChannel(protocol string, id []byte, message func(*protomux.Channel, []byte) error) {
	_, err := c.m.Open(protomux.ChannelOptions{Protocol: protocol, ID: slices.Clone(id),
		Messages: []func(*protomux.Channel, []byte) error{message}})
	if err != nil {
		c.s.opts.Log.Debug("answer open", "protocol", protocol, "err", err)
	}
}

// work runs the tasks of the connection, one at a time.
func (c *conn) work(ctx context.Context) {
	for {
		select {
		case task := <-c.tasks:
			task(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (c *conn) queue(task func(context.Context)) {
	select {
	case c.tasks <- task:
	case <-c.m.Done():
	case <-c.s.ctx.Done():
	}
}

func (c *conn) onOrder(_ *protomux.Channel, body []byte) error {
	o, err := decodeOrder(body)
	if err != nil {
		return err
	}
	c.queue(func(ctx context.Context) {
		if err := c.s.keep(ctx, c, &o); err != nil {
			c.s.opts.Log.Debug("order", "client", c.key, "err", err)
		}
	})
	return nil
}

// refusal is why a call is refused, in words for the client.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	errNotTrusted refusal = "Only trusted peers can add cores"
	errNotDeleter refusal = "Only trusted peers can delete cores"
	errNoRoom     refusal = "No room for another core"
)

func (c *conn) onCall(ch *protomux.Channel, body []byte) error {
	q, err := decodeCall(body)
	if err != nil {
		return err
	}
	q.Value = slices.Clone(q.Value)
	c.queue(func(ctx context.Context) {
		p := c.answer(ctx, &q)
		if q.ID != 0 {
			ch.SendFunc(msgReply, 256, p.appendTo)
		}
	})
	return nil
}

func (c *conn) answer(ctx context.Context, q *call) *reply {
	p := &reply{ID: q.ID}
	var err error
	switch q.Method {
	case methodAdd:
		var a addRequest
		if a, err = decodeAdd(q.Value); err != nil {
			break
		}
		o := order{Referrer: a.Referrer, Priority: a.Priority, Announce: a.Announce, Logs: []Log{{Key: a.Key}}}
		if err = c.s.keep(ctx, c, &o); err == nil {
			if r, ok := c.s.Record(a.Key); ok {
				p.Value = r.appendTo(nil)
			} else {
				err = errNoRoom
			}
		}
	case methodDelete:
		var key hypercrypto.Key
		if key, err = decodeKey(q.Value); err != nil {
			break
		}
		var was bool
		if was, err = c.s.delete(ctx, c, key); err == nil {
			p.Value = compact.AppendBool(nil, was)
		}
	case methodReleased:
		var key hypercrypto.Key
		if key, err = decodeKey(q.Value); err != nil {
			break
		}
		var st releaseState
		if st, err = c.s.released(key); err == nil {
			p.Value = st.appendTo(nil)
		}
	case methodRelease:
		var m statement
		if m, err = decodeStatement(q.Value); err != nil {
			break
		}
		var st releaseState
		if st, err = c.s.release(ctx, c, &m); err == nil {
			p.Value = st.appendTo(nil)
		}
	default:
		p.Err = &RemoteError{Message: "Unknown method '" + q.Method + "'", Code: codeUnknown}
		return p
	}
	var refused refusal
	switch {
	case errors.Is(err, ErrMessage):
		p.Err = &RemoteError{Message: "Could not decode request", Code: codeDecode, Cause: err.Error()}
	case errors.As(err, &refused):
		p.Err = &RemoteError{Message: "Request failed", Code: codeFailed, Cause: refused.Error()}
	case err != nil: // nobody's business
		c.s.opts.Log.Debug("call", "method", q.Method, "client", c.key, "err", err)
		p.Err = &RemoteError{Message: "Request failed", Code: codeFailed, Cause: "Internal error"}
	}
	return p
}

// keep does what an order says.
func (s *Server) keep(ctx context.Context, c *conn, o *order) error {
	trusted := s.isTrusted(c.key)
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	s.stats.Orders++
	if o.Announce && (!trusted || s.opts.Announce == nil) {
		s.stats.Downgraded++
		o.Announce = false
	}
	s.mu.Unlock()
	highest := uint64(PriorityNormal)
	if trusted {
		highest = PriorityHigh
	}
	o.Priority = min(o.Priority, highest)
	var errs []error
	var active []*entry
	for _, l := range o.Logs {
		e, err := s.enter(ctx, c, o, l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if s.incomplete(e, l) || e.open != nil || e.Announce {
			active = append(active, e)
		}
	}
	// Before anything is exchanged the records are safe.
	if err := s.flush(storage.Durable); err != nil {
		return err
	}
	if o.Referrer != nil {
		c.listen(*o.Referrer)
	}
	for _, e := range active {
		if e.gone {
			continue
		}
		if err := s.activate(ctx, e, c.m); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// enter returns the entry of a log, made if there is none and the client may. s.change
// is held.
func (s *Server) enter(ctx context.Context, c *conn, o *order, l Log) (*entry, error) {
	trusted := s.isTrusted(c.key)
	e := s.ledger.entries[l.Key.Discovery()]
	if e == nil {
		refuse := func(err error) (*entry, error) {
			s.mu.Lock()
			s.stats.Refused++
			s.mu.Unlock()
			return nil, err
		}
		if s.opts.TrustedOnly && !trusted {
			return refuse(errNotTrusted)
		}
		if !s.makePlace(ctx, c.key, o.Priority) {
			return refuse(errNoRoom)
		}
		// Makes the log, that the record is stored with.
		core, err := s.store.Get(ctx, corestore.GetOptions{Key: &l.Key, Passive: true})
		if err != nil {
			return nil, err
		}
		defer core.Close()
		now := time.Now()
		e = &entry{Record: Record{Key: l.Key, Updated: now, Active: now, Priority: o.Priority, Referrer: o.Referrer}, dk: l.Key.Discovery(), owner: c.key}
		s.mu.Lock()
		s.ledger.add(e)
		s.ledger.dirty[e] = struct{}{}
		s.stats.Added++
		s.mu.Unlock()
	}
	r := e.Record
	r.Priority = max(r.Priority, o.Priority)
	r.Announce = r.Announce || o.Announce && s.ledger.announced < s.opts.MaxAnnounced
	s.mu.Lock()
	defer s.mu.Unlock()
	if r != e.Record {
		s.ledger.set(e, r)
	}
	if trusted && !s.isTrusted(e.owner) {
		s.ledger.setOwner(e, c.key)
	}
	return e, nil
}

// incomplete tells whether a client that knows a log to be so long has something to
// give or to get beyond what it asks for by itself.
func (s *Server) incomplete(e *entry, l Log) bool {
	c, err := s.store.DB().Core(e.dk)
	if err != nil {
		return true
	}
	n := c.Head().Length
	if n == 0 || n != l.Length || n != e.Length {
		return true
	}
	lacking, err := s.lacking(e)
	return err != nil || lacking > 0
}

// delete deletes a log because a client wants it.
func (s *Server) delete(ctx context.Context, c *conn, key hypercrypto.Key) (existed bool, err error) {
	if !s.isTrusted(c.key) {
		return false, errNotDeleter
	}
	s.change.Lock()
	defer s.change.Unlock()
	e := s.ledger.entries[key.Discovery()]
	if e == nil {
		return false, nil
	}
	if err := s.forget(ctx, e); err != nil {
		return true, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Forgotten--
	s.stats.Deleted++
	return true, nil
}
