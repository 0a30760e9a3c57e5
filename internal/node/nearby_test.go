package node

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/api"
)

func TestWhereARequestListens(t *testing.T) {
	lo := &api.LAN{Interfaces: []string{"lo"}}
	rooms := []api.Room{{Announce: true}}
	looking := []api.Room{{}}
	for _, c := range []struct {
		name string
		open []string
		c    api.Connect
		want []string
	}{
		{"named", nil, api.Connect{Listen: []string{"tcp://127.0.0.1:1"}, AnyListener: true, LAN: &api.LAN{}, Rooms: rooms}, []string{"tcp://127.0.0.1:1"}},
		{"here only", nil, api.Connect{AnyListener: true, Rooms: rooms}, []string{"tcp://127.0.0.1:0"}},
		{"announced", nil, api.Connect{LAN: &api.LAN{}, Rooms: rooms}, []string{anyAddress}},
		{"looking", nil, api.Connect{LAN: &api.LAN{}, Rooms: looking}, nil},
		{"open already", []string{"tcp://127.0.0.1:0"}, api.Connect{LAN: lo, Rooms: rooms}, []string{"tcp://127.0.0.1:0"}},
		{"open where nobody can come", []string{"tcp://127.0.0.1:0"}, api.Connect{LAN: &api.LAN{}, Rooms: rooms}, []string{anyAddress}},
	} {
		n := open(t, t.TempDir()).network
		for _, a := range c.open {
			_, release, err := n.listen(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
		}
		if got := n.wanted(&c.c); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Two nodes on the loopback interface find each other by a topic, are connected
// once though each dials the other, part when both leave, and find each other
// again.
func TestNeighboursFindEachOther(t *testing.T) {
	topic := hypercrypto.Sum([]byte(rand.Text())) // nobody else's who is tested here at the same time
	room := []api.Room{{Topic: hypercrypto.DiscoveryKey(topic), Announce: true}}
	c := api.Connect{Listen: []string{"tcp://127.0.0.1:0"}, LAN: &api.LAN{Interfaces: []string{"lo"}}, Rooms: room}
	one, two := open(t, t.TempDir()), open(t, t.TempDir())
	join := func(n *Node) (leave func()) {
		t.Helper()
		_, leave, err := n.network.Join(t.Context(), c, func(api.Peer) {})
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	connected := func(want int) {
		t.Helper()
		for until := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			var count [2]int
			for i, n := range []*Node{one, two} {
				for _, p := range n.network.peers() {
					if p.State == "connected" {
						count[i]++
					}
					if p.State == "connected" && p.Path != "lan" {
						t.Fatalf("peer %+v", p)
					}
				}
			}
			if count == [2]int{want, want} {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%v connections instead of %d", count, want)
			}
		}
	}
	leave, leaveToo := join(one), join(two)
	connected(1)
	for range 2 {
		leave()
		leaveToo()
		connected(0)
		leave, leaveToo = join(one), join(two)
		connected(1)
	}
	leave()
	leaveToo()
	connected(0)
	if len(one.network.links.open)+len(two.network.links.open) != 0 {
		t.Error("somebody still looks around")
	}
}

// Announcements that lead nowhere are dialed within limits, and given up when they
// are gone.
func TestMadeUpAnnouncementsAreBounded(t *testing.T) {
	n := open(t, t.TempDir()).network
	m := &nearby{n: n, report: func(api.Peer) {}, seen: func() {}, dialing: make(map[netip.AddrPort]*dialing)}
	var all []netip.AddrPort
	for host := range 40 {
		for port := range 8 {
			all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(host + 1)}), uint16(port+1)))
		}
	}
	for _, a := range all {
		m.found(n.ctx, a)
		m.found(n.ctx, a) // at another topic
	}
	hosts := make(map[string]int)
	m.mu.Lock()
	for a := range m.dialing {
		hosts[a.Addr().String()]++
	}
	total := len(m.dialing)
	m.mu.Unlock()
	if total != maxNearby {
		t.Errorf("%d addresses are dialed", total)
	}
	for host, k := range hosts {
		if k > maxPerNeighbour {
			t.Errorf("%d of %s", k, host)
		}
	}
	for range 2 {
		for _, a := range all {
			m.lost(a)
		}
	}
	m.wg.Wait()
	if len(m.dialing) != 0 || len(n.dialers) != 0 {
		t.Errorf("%d and %d are left", len(m.dialing), len(n.dialers))
	}
}

func TestRelayOnlyHidesFromNeighbours(t *testing.T) {
	n := open(t, t.TempDir()).network
	relay := hypercrypto.NewKeyPair().Public.String()
	c := api.Connect{
		LAN: &api.LAN{Interfaces: []string{"lo"}}, Rooms: []api.Room{{Announce: true}},
		Swarm: &api.Swarm{Bootstrap: []string{"127.0.0.1:1"}, Relays: []string{relay}, RelayOnly: true},
	}
	listen, leave, err := n.Join(t.Context(), c, func(api.Peer) {})
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if len(listen) != 0 || len(n.links.open) != 0 {
		t.Errorf("it listens at %v and looks around on %d links", listen, len(n.links.open))
	}
}

func TestAddressesWithZones(t *testing.T) {
	for address, want := range map[string]string{
		"tcp://[fe80::1%eth0]:4100": "[fe80::1%eth0]:4100", "tcp://nas:1": "nas:1", "tcp://:0": ":0",
		"tcp://nas": "", "nas:1": "", "tcp://nas:": "", "udp://nas:1": "", "tcp://nas:1/x": "", "tcp://a@nas:1": "", "": "",
	} {
		got, err := parseAddress(address)
		if got != want || (err == nil) != (want != "") || err != nil && !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
}
