package dhtrpc

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// wire is a network in memory: every datagram arrives after a millisecond unless
// its path is cut.
type wire struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*wireSocket
	dead    map[netip.AddrPort]bool
	packets int
	wg      sync.WaitGroup
}

type wireSocket struct {
	w    *wire
	addr netip.AddrPort
	in   chan datagram
	node *Node
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

func newWire() *wire {
	return &wire{sockets: make(map[netip.AddrPort]*wireSocket), dead: make(map[netip.AddrPort]bool)}
}

func (w *wire) socket(ip string, port uint16, n *Node) *wireSocket {
	s := &wireSocket{w: w, addr: netip.AddrPortFrom(netip.MustParseAddr(ip), port), in: make(chan datagram, 4096), node: n}
	w.mu.Lock()
	w.sockets[s.addr] = s
	w.mu.Unlock()
	w.wg.Go(func() {
		for d := range s.in {
			time.Sleep(time.Millisecond)
			s.node.HandlePacket(s, d.b, d.from)
		}
	})
	return s
}

func (s *wireSocket) LocalAddr() netip.AddrPort { return s.addr }

func (s *wireSocket) Send(b []byte, to netip.AddrPort) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.packets++
	d := s.w.sockets[to]
	if d == nil || s.w.dead[to] || s.w.dead[s.addr] {
		return nil
	}
	select {
	case d.in <- datagram{append([]byte(nil), b...), s.addr}:
	default:
	}
	return nil
}

func (w *wire) close() {
	w.mu.Lock()
	sockets := w.sockets
	w.sockets = nil
	for _, s := range sockets {
		close(s.in)
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// start starts a node with a socket for each purpose.
func (w *wire) start(t testing.TB, ip string, o Options) *Node {
	n := New(o)
	n.Start(w.socket(ip, 49737, n), w.socket(ip, 40000, n))
	<-n.Ready()
	return n
}

// network starts count persistent nodes that know each other.
func (w *wire) network(t testing.TB, count int) []*Node {
	first := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 49737)
	nodes := []*Node{w.start(t, "10.0.0.1", Options{Role: Persistent, Reach: Open, Addr: first})}
	for i := 2; i <= count; i++ {
		nodes = append(nodes, w.start(t, fmt.Sprintf("10.0.%d.%d", i/250, i%250), Options{
			Bootstrap: []string{first.String()}, Role: Persistent, Reach: Open,
		}))
	}
	return nodes
}

func closeAll(w *wire, nodes ...*Node) {
	for _, n := range nodes {
		n.Close()
	}
	w.close()
}

func find(ctx context.Context, n *Node, target ID) (*Query, error) {
	q := &Query{Target: target, Internal: true, Command: cmdFindNode}
	for _, err := range n.Query(ctx, q) {
		if err != nil {
			return q, err
		}
	}
	return q, nil
}
