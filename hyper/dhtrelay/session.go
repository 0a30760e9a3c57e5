package dhtrelay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

var (
	errFull    = errors.New("dhtrelay: out of buffers")
	errSilent  = errors.New("dhtrelay: client is silent")
	errHello   = errors.New("dhtrelay: no handshake")
	errTooMany = errors.New("dhtrelay: too many requests")
)

const (
	// maxOwed is the number of answers that may wait for a client that does not
	// read before it is not read from.
	maxOwed = 256
	// maxDebt is how long a client is slowed down at most before it is told to
	// leave.
	maxDebt = time.Minute
)

// session is the relay's side of one client. Handlers run on the mux and
// never wait: what waits has a goroutine, counted in wg, that ends with ctx.
type session struct {
	relay    *Relay
	opts     *Options
	ws       *transport
	mux      *protomux.Mux
	channel  *protomux.Channel // set once, before Run
	hello    *time.Timer       // set once, before Run
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	requests *bucket
	changed  signal        // less waits in one direction
	turn     chan struct{} // held while sending data; one at a time
	owed     atomic.Int32  // answers sent while the client did not read
	waiting  atomic.Bool   // this side does not read

	welcome bool // the handshake has come; owned by the handlers

	mu        sync.Mutex        // guards the rest; never held across calls out
	last      alias             // last number given out
	streams   map[alias]*stream // by the client's number, if it has one
	unpaired  map[alias]*stream // by ours: the client has not answered yet
	count     int               // streams that use something
	servers   map[alias]*server // by the client's number
	queries   int
	questions map[alias]chan any
	queued    int // bytes from the client that wait for peers
}

func newSession(r *Relay, conn *websocket.Conn) *session {
	s := &session{
		relay:     r,
		opts:      &r.opts,
		requests:  newBucket(r.opts.RequestRate, r.opts.Burst),
		turn:      make(chan struct{}, 1),
		streams:   make(map[alias]*stream),
		unpaired:  make(map[alias]*stream),
		servers:   make(map[alias]*server),
		questions: make(map[alias]chan any),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	conn.SetReadLimit(int64(r.opts.MaxMessage))
	s.ws = &transport{
		conn:  conn,
		stall: r.opts.StallTimeout,
		limit: r.opts.MaxMessage,
		pace:  s.pace,
		hold:  s.hold,
		timer: time.AfterFunc(messageTimeout, func() { s.fail(websocket.StatusPolicyViolation, errSlow) }),
	}
	s.ws.timer.Stop()
	s.ws.hear()
	s.mux = protomux.New(s.ws, &protomux.Options{MaxQueued: r.opts.MaxQueued, Log: r.opts.Log})
	return s
}

// run serves the client until it leaves or breaks a rule.
func (s *session) run() error {
	stop := context.AfterFunc(s.relay.ctx, func() { s.fail(websocket.StatusGoingAway, ErrClosed) })
	defer stop()
	var err error
	s.channel, err = s.mux.Open(protomux.ChannelOptions{
		Protocol: protocol,
		Messages: s.handlers(),
		OnDrain:  func(*protomux.Channel) { s.owed.Store(0); s.changed.broadcast() },
		OnClose:  func(*protomux.Channel, bool) { s.mux.Close() },
	})
	if err != nil {
		return err
	}
	s.hello = time.AfterFunc(s.opts.HandshakeTimeout, func() { s.fail(websocket.StatusPolicyViolation, errHello) })
	s.wg.Go(s.heartbeat)
	err = s.mux.Run(context.Background())
	if r := s.ws.reason.Load(); r != nil {
		err = r.err
	}

	s.hello.Stop()
	s.cancel()
	s.wg.Wait()
	s.ws.release()
	return err
}

// fail ends the session; the client is told status and err.
func (s *session) fail(status websocket.StatusCode, err error) {
	s.ws.reason.CompareAndSwap(nil, &closeReason{status, err})
	s.mux.Close()
}

// hold accounts for n bytes held for this client; if those are too many, the
// client has to leave.
func (s *session) hold(n int) error {
	if s.relay.hold(n) {
		return nil
	}
	s.ws.reason.CompareAndSwap(nil, &closeReason{websocket.StatusTryAgainLater, errFull})
	return errFull
}

// handlers returns what is done about each message of a client.
func (s *session) handlers() []func(*protomux.Channel, []byte) error {
	h := make([]func(*protomux.Channel, []byte) error, typeCount)
	h[typeHandshake] = handle(s, s.onHandshake)
	h[typePing] = handle(s, s.onPing)
	h[typePong] = handle(s, func(*empty) error { return nil })
	h[typeConnect] = handle(s, s.onConnect)
	h[typeConnected] = handle(s, s.onConnected)
	h[typeDestroy] = handle(s, s.onDestroy)
	h[typeEnd] = handle(s, s.onEnd)
	h[typeData] = handle(s, s.onData)
	h[typeListen] = handle(s, s.onListen)
	h[typeClose] = handle(s, s.onClose)
	h[typeLookup] = handle(s, s.onLookup)
	h[typeAnnounce] = handle(s, s.onAnnounce)
	h[typeUnannounce] = handle(s, s.onUnannounce)
	h[typeDeny] = handle(s, func(m *number) error { s.answer(m.alias, &verdict{false}); return nil })
	h[typeAccept] = handle(s, func(m *number) error { s.answer(m.alias, &verdict{true}); return nil })
	h[typeSignature] = handle(s, func(m *signature) error { s.answer(m.id, m.clone()); return nil })
	h[typeNoiseReply] = handle(s, func(m *noiseReply) error { s.answer(m.id, m.clone()); return nil })
	return h
}

func handle[M any, P interface {
	*M
	decoder
}](s *session, fn func(P) error) func(*protomux.Channel, []byte) error {
	return func(_ *protomux.Channel, body []byte) error {
		m := P(new(M))
		if err := unmarshal(body, m); err != nil {
			return err
		}
		if _, first := any(m).(*handshake); !first && !s.welcome {
			return fmt.Errorf("%w: handshake is missing", errMessage)
		}
		return fn(m)
	}
}

func (s *session) onHandshake(m *handshake) error {
	if _, err := m.check(); err != nil {
		return err
	}
	s.welcome = true
	s.hello.Stop()
	return nil
}

// check returns the key pair of a custodial client and nil for others.
func (i *identity) check() (*hypercrypto.KeyPair, error) {
	if i.secret == nil {
		return nil, nil
	}
	kp, err := hypercrypto.KeyPairFromSecret(i.secret)
	if err == nil && kp.Public != i.public {
		err = errors.New("dhtrelay: secret key and public key do not belong together")
	}
	return kp, err
}

// onPing answers unless the client does not read.
func (s *session) onPing(*empty) error {
	if s.channel.Drained() {
		s.send(typePong, empty{})
	}
	return nil
}

// send queues a message that is not data.
func (s *session) send(typ int, m message) {
	if !s.channel.Drained() {
		s.owed.Add(1)
	}
	s.channel.SendFunc(typ, 128, m.appendTo)
}

// next returns a number for an object of this side that no other has.
func (s *session) next() alias {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return s.last
}

// all returns the streams of the client.
func (s *session) all() (all []*stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		all = append(all, st)
	}
	for _, st := range s.unpaired {
		all = append(all, st)
	}
	return all
}

// heartbeat asks for signs of life, and closes what nobody uses.
func (s *session) heartbeat() {
	for sleep(s.ctx, pingInterval) {
		if s.ws.silence() > silenceLimit && !s.waiting.Load() {
			s.fail(websocket.StatusPolicyViolation, errSilent)
			return
		}
		if s.channel.Drained() {
			s.send(typePing, empty{})
		}
		for _, st := range s.all() {
			st.expire()
		}
	}
}

// pace waits until more may be read from the client: it is paid for, answers
// are read, and peers read what was sent.
func (s *session) pace() error {
	defer s.waiting.Store(false)
	for {
		changed := s.changed.next()
		if s.owed.Load() <= maxOwed && s.backlog() <= s.opts.MaxQueued {
			break
		}
		s.waiting.Store(true)
		timer := time.NewTimer(s.opts.StallTimeout / 4)
		select {
		case <-changed:
		case <-s.mux.Done():
		case <-timer.C:
			for _, st := range s.all() {
				st.expectProgress()
			}
		}
		timer.Stop()
		if s.closed() {
			return ErrClosed
		}
	}
	debt := s.requests.debt()
	if debt > maxDebt {
		s.ws.reason.CompareAndSwap(nil, &closeReason{websocket.StatusPolicyViolation, errTooMany})
		return errTooMany
	}
	if debt > 0 {
		s.waiting.Store(true)
		timer := time.NewTimer(debt)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.mux.Done():
			return ErrClosed
		}
	}
	if s.waiting.Load() {
		s.ws.hear() // it could not be heard
	}
	return nil
}

func (s *session) closed() bool {
	select {
	case <-s.mux.Done():
		return true
	default:
		return false
	}
}

func (s *session) backlog() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued
}
