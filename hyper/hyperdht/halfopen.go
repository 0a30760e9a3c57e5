package hyperdht

import (
	"net/netip"
	"runtime"
	"sync"
)

// halfOpen bounds the incoming handshakes that are no connections yet, in all
// and per address, and how many are computed at a time.
type halfOpen struct {
	max int
	cpu chan struct{}

	mu     sync.Mutex // guards what follows
	total  int
	byHost map[netip.Addr]int
}

// halfOpenShare is the part of the places that one address may have.
const halfOpenShare = 8

func (h *halfOpen) init(max int) {
	h.max, h.byHost = max, make(map[netip.Addr]int)
	h.cpu = make(chan struct{}, runtime.GOMAXPROCS(0))
}

func (h *halfOpen) enter(host netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= h.max || h.byHost[host] >= max(h.max/halfOpenShare, 1) && !host.IsLoopback() {
		return false
	}
	h.total++
	h.byHost[host]++
	return true
}

func (h *halfOpen) leave(host netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total--
	if h.byHost[host]--; h.byHost[host] == 0 {
		delete(h.byHost, host)
	}
}

func (h *halfOpen) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}
