package lan

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// bus is a segment in memory: what one says all hear, the speaker too.
type bus struct {
	mu    sync.Mutex // guards what follows
	ports []*busPort
	sent  []packet // all that was ever said
}

// busPort is one host's [link] to a bus.
type busPort struct {
	bus     *bus
	addr    netip.Addr
	deliver func(packet)
	deaf    bool // hears nothing
}

func (b *bus) attach(addr string) *busPort {
	p := &busPort{bus: b, addr: netip.MustParseAddr(addr)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ports = append(b.ports, p)
	return p
}

func (b *bus) say(from netip.Addr, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := packet{data: slices.Clone(data), from: from, segment: 1}
	b.sent = append(b.sent, p)
	for _, port := range b.ports {
		if port.deliver != nil && !port.deaf {
			port.deliver(p)
		}
	}
}

func (p *busPort) deafen() {
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	p.deaf = true
}

// said returns what a host said.
func (b *bus) said(from netip.Addr) (list []packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.sent {
		if p.from == from {
			list = append(list, p)
		}
	}
	return list
}

func (p *busPort) receive(deliver func(packet)) {
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	p.deliver = deliver
}
func (p *busPort) refresh() []int             { return []int{1} }
func (p *busPort) addresses(int) []netip.Addr { return []netip.Addr{p.addr} }
func (p *busPort) send(_ int, b []byte) error { p.bus.say(p.addr, b); return nil }
func (p *busPort) close() error {
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	p.deliver = nil
	return nil
}

func (p *busPort) node(t *testing.T) *Node {
	t.Helper()
	n := start(p, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { n.Close() })
	return n
}

// watcher collects the events of a Browse.
type watcher struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex // guards what follows
	present map[netip.AddrPort]bool
	events  []Event
	err     error
}

func watch(t *testing.T, n *Node, topic Topic) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{stop: cancel, done: make(chan struct{}), present: make(map[netip.AddrPort]bool)}
	go func() {
		defer close(w.done)
		for e, err := range n.Browse(ctx, topic) {
			w.mu.Lock()
			if err != nil {
				w.err = err
			} else {
				w.events = append(w.events, e)
				if e.Gone {
					delete(w.present, e.Addr)
				} else {
					w.present[e.Addr] = true
				}
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-w.done })
	return w
}

func (w *watcher) sees(addr string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.present[netip.MustParseAddrPort(addr)]
}

func (w *watcher) count() (events int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// soon is more than any delay of a packet or an answer.
const soon = 3 * time.Second
