package lan

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The multicast DNS groups.
var (
	group4 = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	group6 = &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: 5353}
)

// sockets is the link behind the network interfaces of this machine. Either of
// the sockets may be missing.
type sockets struct {
	names []string // nil: all that fit
	log   *slog.Logger
	v4    *ipv4.PacketConn
	v6    *ipv6.PacketConn
	wg    sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the interface that a socket sends on
	segments map[int]*segment
}

// segment is one interface with one of the two protocols. Its number is that of
// the interface, twice, and one more for IPv6.
type segment struct {
	iface    net.Interface
	six      bool
	prefixes []netip.Prefix
}

func segmentNumber(index int, six bool) int {
	if six {
		return 2*index + 1
	}
	return 2 * index
}

func openSockets(names []string, log *slog.Logger) (*sockets, error) {
	s := &sockets{names: names, log: log, segments: make(map[int]*segment)}
	// For a multicast address package net lets the port be shared, and receives
	// on all addresses.
	c4, err4 := net.ListenPacket("udp4", "224.0.0.0:5353")
	if err4 == nil {
		s.v4 = ipv4.NewPacketConn(c4)
		s.option("ipv4 control messages", s.v4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true))
		s.option("ipv4 hops", s.v4.SetMulticastTTL(255))
		s.option("ipv4 loopback", s.v4.SetMulticastLoopback(true)) // other nodes of this machine
	}
	c6, err6 := net.ListenPacket("udp6", "[ff02::]:5353")
	if err6 == nil {
		s.v6 = ipv6.NewPacketConn(c6)
		s.option("ipv6 control messages", s.v6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true))
		s.option("ipv6 hops", s.v6.SetMulticastHopLimit(255))
		s.option("ipv6 loopback", s.v6.SetMulticastLoopback(true))
	}
	if s.v4 == nil && s.v6 == nil {
		return nil, fmt.Errorf("lan: open the multicast DNS port: %w", errors.Join(err4, err6))
	}
	return s, nil
}

// option logs an option that this system does not know; others make up for it.
func (s *sockets) option(name string, err error) {
	if err != nil {
		s.log.Debug("socket option", "name", name, "err", err)
	}
}

// refresh implements [link].
func (s *sockets) refresh() []int {
	interfaces, err := net.Interfaces()
	if err != nil {
		s.log.Debug("list interfaces", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	present := make(map[int]*segment)
	for _, i := range interfaces {
		if !s.wanted(&i) {
			continue
		}
		all := prefixes(&i)
		for _, six := range []bool{false, true} {
			mine := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is6() != six })
			if len(mine) == 0 {
				continue
			}
			n := segmentNumber(i.Index, six)
			seg := s.segments[n]
			if seg == nil || seg.iface.Name != i.Name {
				seg = &segment{iface: i, six: six}
				if !s.join(seg) {
					continue
				}
			}
			seg.prefixes = mine
			present[n] = seg
		}
	}
	s.segments = present
	return slices.Sorted(maps.Keys(present))
}

func (s *sockets) wanted(i *net.Interface) bool {
	if i.Flags&net.FlagUp == 0 {
		return false
	}
	if s.names != nil {
		return slices.Contains(s.names, i.Name)
	}
	return i.Flags&net.FlagMulticast != 0 && i.Flags&(net.FlagLoopback|net.FlagPointToPoint) == 0
}

func prefixes(i *net.Interface) (list []netip.Prefix) {
	addrs, _ := i.Addrs() // none: the interface has just gone
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if p, err := netip.ParsePrefix(n.String()); err == nil {
				list = append(list, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
			}
		}
	}
	return list
}

// join joins the group on an interface.
func (s *sockets) join(seg *segment) bool {
	var err error
	switch {
	case seg.six && s.v6 != nil:
		err = s.v6.JoinGroup(&seg.iface, group6)
	case !seg.six && s.v4 != nil:
		err = s.v4.JoinGroup(&seg.iface, group4)
	default:
		return false
	}
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) { // joined before
		s.log.Debug("join group", "interface", seg.iface.Name, "err", err)
		return false
	}
	return true
}

// addresses implements [link].
func (s *sockets) addresses(n int) (list []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seg := s.segments[n]; seg != nil {
		for _, p := range seg.prefixes {
			list = append(list, p.Addr())
		}
	}
	return list[:min(len(list), 8)]
}

// send implements [link].
func (s *sockets) send(n int, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.segments[n]
	if seg == nil {
		return net.ErrClosed
	}
	if seg.six {
		if err := s.v6.SetMulticastInterface(&seg.iface); err != nil {
			return err
		}
		_, err := s.v6.WriteTo(b, nil, &net.UDPAddr{IP: group6.IP, Port: group6.Port, Zone: seg.iface.Name})
		return err
	}
	if err := s.v4.SetMulticastInterface(&seg.iface); err != nil {
		return err
	}
	// The system would take another interface's address for the loopback one.
	cm := &ipv4.ControlMessage{IfIndex: seg.iface.Index, Src: net.IP(seg.prefixes[0].Addr().AsSlice())}
	_, err := s.v4.WriteTo(b, cm, group4)
	return err
}

// receive implements [link].
func (s *sockets) receive(deliver func(packet)) {
	if s.v4 != nil {
		s.wg.Go(func() {
			s.read(deliver, func(b []byte) (n, index int, to net.IP, from net.Addr, err error) {
				n, cm, from, err := s.v4.ReadFrom(b)
				if cm != nil {
					index, to = cm.IfIndex, cm.Dst
				}
				return n, index, to, from, err
			})
		})
	}
	if s.v6 != nil {
		s.wg.Go(func() {
			s.read(deliver, func(b []byte) (n, index int, to net.IP, from net.Addr, err error) {
				n, cm, from, err := s.v6.ReadFrom(b)
				if cm != nil {
					index, to = cm.IfIndex, cm.Dst
				}
				return n, index, to, from, err
			})
		})
	}
}

// maxFailures is how many reads in a row may fail before a socket is given up.
const maxFailures = 100

func (s *sockets) read(deliver func(packet), next func([]byte) (n, index int, to net.IP, from net.Addr, err error)) {
	b := make([]byte, maxPacket+1)
	for failures := 0; failures < maxFailures; {
		n, index, to, from, err := next(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		udp, ok := from.(*net.UDPAddr)
		if err != nil || !ok {
			failures++
			s.log.Debug("receive", "err", err)
			continue
		}
		failures = 0
		if p, ok := s.onLink(udp, index, to); ok {
			p.data = slices.Clone(b[:n])
			deliver(p)
		}
	}
}

// onLink tells whether a packet was sent to all on one of the segments by
// somebody on it; routers may pass on others.
func (s *sockets) onLink(from *net.UDPAddr, index int, to net.IP) (p packet, ok bool) {
	addr := from.AddrPort().Addr().Unmap()
	if to != nil && !to.Equal(group4.IP) && !to.Equal(group6.IP) {
		return p, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, seg := range s.segments {
		if index != 0 && n/2 != index {
			continue
		}
		if slices.ContainsFunc(seg.prefixes, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("")) }) {
			if addr.Is6() && addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(seg.iface.Name)
			}
			return packet{from: addr, segment: n, question: from.Port != group4.Port}, true
		}
	}
	return p, false
}

// close implements [link].
func (s *sockets) close() error {
	var errs []error
	if s.v4 != nil {
		errs = append(errs, s.v4.Close())
	}
	if s.v6 != nil {
		errs = append(errs, s.v6.Close())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}
