package hyperdht

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// route leads to a server that has announced itself at this node.
type route struct {
	relay  netip.AddrPort // where its announcement came from
	record []byte         // an encoded Peer
}

// router passes handshakes and hole punch rounds between clients and servers.
// It keeps no state about them: a request that passes is sent on as a request
// with the same number, so that the server's request back can be turned into the
// response that the client waits for.
type router struct {
	mu      sync.Mutex // guards what follows
	routes  *cache[dhtrpc.ID, route]
	servers map[dhtrpc.ID]*Server // listening here; no announcement replaces them
}

func newRouter(l Limits) *router {
	return &router{
		routes:  newCache[dhtrpc.ID, route](recordTTL, l.Records, l.Records<<10),
		servers: make(map[dhtrpc.ID]*Server),
	}
}

func (rt *router) set(now time.Time, target dhtrpc.ID, relay netip.AddrPort, record []byte) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.servers[target] != nil {
		return true
	}
	return rt.routes.set(now, target, route{relay, record}, len(record)+64, relay.Addr())
}

func (rt *router) get(now time.Time, target dhtrpc.ID) (*Server, route, bool) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if s := rt.servers[target]; s != nil {
		return s, route{}, true
	}
	r, ok := rt.routes.get(now, target, true)
	return nil, r, ok
}

// record returns the record of the server at target, nil if there is none.
func (rt *router) record(now time.Time, target dhtrpc.ID) []byte {
	s, r, _ := rt.get(now, target)
	if s != nil {
		return (&Peer{PublicKey: s.own.public()}).appendTo(nil)
	}
	return r.record
}

func (rt *router) delete(target dhtrpc.ID) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.routes.delete(target)
}

// addServer makes a server reachable; false if its key is in use.
func (rt *router) addServer(s *Server) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.servers[s.target] != nil {
		return false
	}
	rt.servers[s.target] = s
	rt.routes.delete(s.target)
	return true
}

func (rt *router) removeServer(s *Server) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.servers[s.target] == s {
		delete(rt.servers, s.target)
	}
}

func (rt *router) handleHandshake(r *dhtrpc.Request) {
	h, err := decodeHandshake(r.Value)
	if err != nil || r.Value == nil {
		return
	}
	now := time.Now()
	var server *Server
	var to route
	if r.Target != nil {
		server, to, _ = rt.get(now, *r.Target)
	}
	if server != nil {
		server.handleHandshake(r, h)
		return
	}
	if len(h.noise) == 0 {
		// Malformed, or a question that nobody asks.
		return
	}
	switch h.mode {
	case fromClient:
		next := to.relay
		if h.relay.IsValid() {
			next = h.relay
		}
		if !next.IsValid() {
			r.Reply(dhtrpc.Reply{Closer: true})
			return
		}
		h.mode, h.peer, h.relay = fromRelay, r.From, netip.AddrPort{}
		r.Relay(h.appendTo(nil), next, nil)
	case fromRelay:
		if !to.relay.IsValid() {
			return
		}
		h.mode, h.relay = fromSecondRelay, r.From
		r.Relay(h.appendTo(nil), to.relay, nil)
	case fromServer:
		if !h.peer.IsValid() {
			return
		}
		client := h.peer
		h.mode, h.peer, h.relay = reply, r.From, netip.AddrPort{}
		r.Reply(dhtrpc.Reply{Value: h.appendTo(nil), To: client})
	}
}

func (rt *router) handleHolepunch(r *dhtrpc.Request) {
	h, err := decodeHolepunch(r.Value)
	if err != nil || r.Value == nil {
		return
	}
	var server *Server
	var to route
	if r.Target != nil {
		server, to, _ = rt.get(time.Now(), *r.Target)
	}
	switch h.mode {
	case fromClient:
		next := to.relay
		if h.peer.IsValid() {
			next = h.peer
		}
		if !next.IsValid() {
			return
		}
		h.mode, h.peer = fromRelay, r.From
		r.Relay(h.appendTo(nil), next, nil)
	case fromRelay:
		if server != nil && h.peer.IsValid() {
			server.handleHolepunch(r, h)
		}
	case fromServer:
		if !h.peer.IsValid() {
			return
		}
		client := h.peer
		h.mode, h.peer = reply, r.From
		r.Reply(dhtrpc.Reply{Value: h.appendTo(nil), To: client})
	}
}
