package lan

import (
	"net/netip"
	"slices"
	"sync"
)

// browse is what one loop over [Node.Browse] has to tell.
type browse struct {
	topic Topic
	wake  chan struct{} // holds a token when there may be news

	mu       sync.Mutex             // guards what follows
	now      map[netip.AddrPort]int // present addresses, with the number of announcements
	reported map[netip.AddrPort]bool
}

func newBrowse(topic Topic) *browse {
	return &browse{topic: topic, wake: make(chan struct{}, 1), now: make(map[netip.AddrPort]int), reported: make(map[netip.AddrPort]bool)}
}

// count adds d announcements of an address.
func (b *browse) count(addr netip.AddrPort, d int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now[addr] += d; b.now[addr] == 0 {
		delete(b.now, addr)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// news returns the difference between what is and what was reported.
func (b *browse) news() (events []Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for addr := range b.reported {
		if b.now[addr] == 0 {
			events = append(events, Event{Addr: addr, Gone: true})
			delete(b.reported, addr)
		}
	}
	for addr := range b.now {
		if !b.reported[addr] {
			events = append(events, Event{Addr: addr})
			b.reported[addr] = true
		}
	}
	slices.SortFunc(events, func(x, y Event) int { return x.Addr.Compare(y.Addr) })
	return events
}
