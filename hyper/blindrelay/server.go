package blindrelay

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/udx"
)

// ServerOptions configures [NewServer]. The zero value of the limits is ready to
// use.
type ServerOptions struct {
	// NewStream makes streams on the sockets of the connections that are served.
	NewStream func(*udx.StreamOptions) (*udx.Stream, error)
	// MaxPairs bounds the pairs that are waiting or joined. Default 4096.
	MaxPairs int
	// MaxPerConn bounds those of one connection. Default 64.
	MaxPerConn int
	// Log receives debug events. Nil discards them.
	Log *slog.Logger
}

// Server is a relay.
type Server struct {
	o ServerOptions

	mu    sync.Mutex // guards what follows and all pairs
	pairs map[Token]*joint
}

// joint is a pair that waits for its second side, or is joined.
type joint struct {
	token Token
	sides [2]*side // initiator, responder
}

type side struct {
	session *session
	id      uint32 // of the peer's stream
	stream  *udx.Stream
}

// session is one connection.
type session struct {
	server *Server
	ch     *protomux.Channel
	pairs  map[*joint]bool // guarded by server.mu
}

// NewServer returns a relay.
func NewServer(o ServerOptions) *Server {
	if o.MaxPairs <= 0 {
		o.MaxPairs = 4096
	}
	if o.MaxPerConn <= 0 {
		o.MaxPerConn = 64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, pairs: make(map[Token]*joint)}
}

// Serve relays for the peer of a connection, whose public key is id, until the
// connection ends. It owns the connection.
func (s *Server) Serve(ctx context.Context, stream protomux.Stream, id []byte) error {
	mux := protomux.New(stream, nil)
	se := &session{server: s, pairs: make(map[*joint]bool)}
	defer se.end()
	ch, err := mux.Open(protomux.ChannelOptions{
		Protocol: Protocol,
		ID:       id,
		Messages: []func(*protomux.Channel, []byte) error{typePair: se.onPair, typeUnpair: se.onUnpair},
		OnClose:  func(*protomux.Channel, bool) { mux.Close() },
	})
	if err != nil {
		stream.Close()
		return fmt.Errorf("blindrelay: %w", err)
	}
	se.ch = ch
	return mux.Run(ctx)
}

// Pairs returns how many pairs are waiting and how many are joined.
func (s *Server) Pairs() (waiting, joined int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.pairs {
		if j.sides[0] != nil && j.sides[1] != nil {
			joined++
		} else {
			waiting++
		}
	}
	return waiting, joined
}

func (se *session) onPair(_ *protomux.Channel, body []byte) error {
	p, err := decodePair(body)
	if err != nil {
		return err
	}
	s := se.server
	i := 1
	if p.initiator {
		i = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.pairs[p.token]
	if j != nil && j.sides[i] != nil {
		return nil
	}
	if len(se.pairs) >= s.o.MaxPerConn || j == nil && len(s.pairs) >= s.o.MaxPairs {
		s.o.Log.Debug("relay is full")
		return nil
	}
	if j == nil {
		j = &joint{token: p.token}
		s.pairs[p.token] = j
	}
	j.sides[i] = &side{session: se, id: p.id}
	se.pairs[j] = true
	if j.sides[1-i] == nil {
		return nil
	}
	if err := s.joinLocked(j); err != nil {
		s.o.Log.Debug("relay", "err", err)
		s.dropLocked(j)
	}
	return nil
}

// joinLocked makes the two streams and tells their ids.
func (s *Server) joinLocked(j *joint) error {
	for _, sd := range j.sides {
		st, err := s.o.NewStream(sd.options())
		if err != nil {
			return err
		}
		sd.stream = st
	}
	a, b := j.sides[0].stream, j.sides[1].stream
	a.RelayTo(b)
	b.RelayTo(a)
	for i, sd := range j.sides {
		p := pair{initiator: i == 0, token: j.token, id: sd.stream.ID()}
		sd.session.ch.Send(typePair, p.appendTo(nil))
	}
	return nil
}

// options makes the stream's remote the source of the first packet that comes,
// and follows it when its address changes.
func (sd *side) options() *udx.StreamOptions {
	var once sync.Once
	return &udx.StreamOptions{Firewall: func(sock *udx.Socket, from netip.AddrPort) bool {
		ok := false
		once.Do(func() { ok = sd.stream.Connect(sock, sd.id, from) == nil })
		return ok || sd.stream.Follow(sock, from)
	}}
}

// dropLocked ends a pair. mu must be held.
func (s *Server) dropLocked(j *joint) {
	delete(s.pairs, j.token)
	for _, sd := range j.sides {
		if sd == nil {
			continue
		}
		delete(sd.session.pairs, j)
		if sd.stream != nil {
			sd.stream.Close()
		}
	}
}

func (se *session) onUnpair(_ *protomux.Channel, body []byte) error {
	token, err := decodeUnpair(body)
	if err != nil {
		return err
	}
	s := se.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.pairs[token]; j != nil && se.pairs[j] {
		s.dropLocked(j)
	}
	return nil
}

func (se *session) end() {
	s := se.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for j := range se.pairs {
		s.dropLocked(j)
	}
}
