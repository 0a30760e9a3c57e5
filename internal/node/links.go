package node

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/tradle/cloudpal/hyper/lan"
)

// links are the node's parts in discovery on the local link: one for each choice
// of interfaces, for as long as somebody uses it.
type links struct {
	log *slog.Logger

	mu   sync.Mutex // guards open, and is held while one is opened or closed
	open map[string]*link
}

type link struct {
	*lan.Node
	users int
}

// use returns the node for these interfaces; empty is all.
func (l *links) use(interfaces []string) (node *lan.Node, release func(), err error) {
	interfaces = slices.Sorted(slices.Values(interfaces)) // nil if empty
	key := strings.Join(interfaces, ",")
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.open[key]
	if k == nil {
		n, err := lan.New(lan.Options{Interfaces: interfaces, Log: l.log})
		if err != nil {
			return nil, nil, fmt.Errorf("look around on the local network: %w", err)
		}
		if l.open == nil {
			l.open = make(map[string]*link)
		}
		k = &link{Node: n}
		l.open[key] = k
	}
	k.users++
	return k.Node, sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.open, key)
			_ = k.Close() // never fails
		}
	}), nil
}

// onLink tells whether peers on these interfaces, empty for all but loopback, can
// reach a listener.
func onLink(a net.Addr, interfaces []string) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok || !t.IP.IsLoopback() {
		return ok
	}
	return slices.ContainsFunc(interfaces, func(name string) bool {
		i, err := net.InterfaceByName(name)
		return err == nil && i.Flags&net.FlagLoopback != 0
	})
}

// isNeighbour tells whether an address is in a network that this machine is in.
func isNeighbour(a netip.Addr) bool {
	addrs, _ := net.InterfaceAddrs() // none: nobody is a neighbour
	return slices.ContainsFunc(addrs, func(own net.Addr) bool {
		p, err := netip.ParsePrefix(own.String())
		return err == nil && p.Contains(a.WithZone(""))
	})
}
