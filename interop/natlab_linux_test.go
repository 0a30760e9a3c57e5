package interop

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// lab is two hosts, each behind its own NAT router, and a public segment with
// DHT nodes, in network namespaces that are linked to each other only:
//
//	host a 192.168.1.10 -- router ra 203.0.113.11 --+
//	                                                +-- public 203.0.113.0/24: nodes .101 to .110, relay .1
//	host b 192.168.2.10 -- router rb 203.0.113.12 --+
type lab struct {
	t      testing.TB
	prefix string
	boot   []string
}

func (l *lab) ns(name string) string { return l.prefix + name }

// in runs a command in a namespace.
func (l *lab) in(name, command string) {
	l.t.Helper()
	run(l.t, "ip", append([]string{"netns", "exec", l.ns(name)}, strings.Fields(command)...)...)
}

// natRules translates what leaves by pub0. Unsolicited packets are dropped: a
// router that accepts them for itself takes their ports away from its hosts.
func (l *lab) natRules(router, kind, host string) {
	l.t.Helper()
	masquerade, forward, accept := "masquerade", "", ""
	switch kind {
	case "cone":
	case "symmetric":
		masquerade += " fully-random"
	case "forward":
		forward = "chain pre { type nat hook prerouting priority dstnat; policy accept; iifname \"pub0\" meta l4proto udp dnat to " + host + "; }"
		accept = "ct status dnat accept;"
	default:
		l.t.Fatalf("unknown NAT %s", kind)
	}
	rules := fmt.Sprintf(`
table ip nat {
  chain post { type nat hook postrouting priority srcnat; policy accept; oifname "pub0" %s; }
  %s
}
table ip flt {
  chain fw { type filter hook forward priority filter; policy drop; iifname "lan0" accept; ct state established,related accept; %s }
  chain inp { type filter hook input priority filter; policy drop; iifname "lan0" accept; ct state established,related accept; }
}`, masquerade, forward, accept)
	cmd := exec.Command("ip", "netns", "exec", l.ns(router), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft: %v\n%s", err, out)
	}
	l.in(router, "sysctl -qw net.ipv4.ip_forward=1")
}

// newLab builds the laboratory. NAT kinds are cone, symmetric, forward, and lan
// for b: it is then in a's network.
func newLab(t testing.TB, a, b string) *lab {
	t.Helper()
	// Nobody else has these names, and no run before that was killed.
	l := &lab{t: t, prefix: fmt.Sprintf("cp%d-%08x-", os.Getpid(), rand.Uint32())}
	names := []string{"a", "b", "ra", "rb", "pub"}
	for _, n := range names {
		run(t, "ip", "netns", "add", l.ns(n))
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", l.ns(n)).Run() })
		l.in(n, "ip link set lo up")
	}
	l.in("pub", "ip link add br0 type bridge")
	l.in("pub", "ip link set br0 up")
	var ips []string
	for i := 101; i <= 110; i++ {
		ips = append(ips, fmt.Sprintf("203.0.113.%d", i))
	}
	for _, ip := range append(slices.Clone(ips), "203.0.113.1") {
		l.in("pub", "ip addr add "+ip+"/24 dev br0")
	}
	for i, r := range []string{"ra", "rb"} {
		i++
		run(t, "ip", "link", "add", "pub0", "netns", l.ns(r), "type", "veth", "peer", "name", "p-"+r, "netns", l.ns("pub"))
		l.in("pub", "ip link set p-"+r+" master br0 up")
		l.in(r, fmt.Sprintf("ip addr add 203.0.113.1%d/24 dev pub0", i))
		l.in(r, "ip link set pub0 up")
		if r == "rb" && b == "lan" {
			continue
		}
		host := r[1:]
		l.in(r, "ip link add lan0 type bridge")
		l.in(r, fmt.Sprintf("ip addr add 192.168.%d.1/24 dev lan0", i))
		l.in(r, "ip link set lan0 up")
		l.join(r, host, fmt.Sprintf("192.168.%d", i), "10")
	}
	if b == "lan" {
		l.join("ra", "b", "192.168.1", "11")
	} else {
		l.natRules("rb", b, "192.168.2.10")
	}
	l.natRules("ra", a, "192.168.1.10")
	nodes := startDHTPeer(t, l.ns("pub"), true)
	l.boot = texts(nodes.Call(t, "persistent", Args{"ips": ips, "port": 49737}).List("nodes"))[:1]
	return l
}

// join puts a host into the network of a router.
func (l *lab) join(router, host, net, number string) {
	run(l.t, "ip", "link", "add", "l-"+host, "netns", l.ns(router), "type", "veth", "peer", "name", "eth0", "netns", l.ns(host))
	l.in(router, "ip link set l-"+host+" master lan0 up")
	l.in(host, "ip addr add "+net+"."+number+"/24 dev eth0")
	l.in(host, "ip link set eth0 up")
	l.in(host, "ip route add default via "+net+".1")
}

func (l *lab) open(ns string, js bool) *Node {
	l.t.Helper()
	n := startDHTPeer(l.t, l.ns(ns), js)
	n.Call(l.t, "open", Args{"bootstrap": l.boot})
	return n
}

// relay starts a relay on the public segment and returns its key.
func (l *lab) relay(js bool) string {
	l.t.Helper()
	n := startDHTPeer(l.t, l.ns("pub"), js)
	n.Call(l.t, "open", Args{"bootstrap": l.boot, "host": "203.0.113.1", "port": 49738, "reachable": true})
	return n.Call(l.t, "relay", nil).Str("publicKey")
}

func kind(js bool) string {
	if js {
		return "JavaScript"
	}
	return "Go"
}

// pair is who serves and who connects.
type pair struct{ serverJS, clientJS bool }

func (p pair) String() string { return kind(p.serverJS) + " server " + kind(p.clientJS) + " client" }

// theirs is how JavaScript does by itself: what the times of the others are
// compared with. Its failures are told in the table and fail no test.
func (p pair) theirs() bool { return p.serverJS && p.clientJS }

// guesses is how many attempts there may be where ports are guessed: one in a
// thousand fails, more on a busy machine.
func (p pair) guesses() int {
	if p.theirs() {
		return 2
	}
	return 4
}

// attemptTime is how many milliseconds an attempt may take: guessing takes up to 35
// seconds, more on a busy machine. It is less than patience.
const attemptTime = 90_000

// guessPause is longer than the time between two attempts that guess.
const guessPause = 25 * time.Second

// fatal ends the test unless it was JavaScript with itself that failed.
func (p pair) fatal(t *testing.T, err error, logs ...*Node) {
	t.Helper()
	for _, n := range logs {
		t.Log(n.Log())
	}
	if p.theirs() {
		t.Skip(err)
	}
	t.Fatal(err)
}

var pairs = []pair{{false, false}, {true, false}, {false, true}, {true, true}}

// ours are the pairs of which at least one is ours.
var ours = pairs[:3]

// figures are what was measured of each pair in each case.
type figures struct {
	cases []string
	cells map[string]string
}

func (f *figures) set(name string, p pair, cell string) {
	if !slices.Contains(f.cases, name) {
		f.cases = append(f.cases, name)
	}
	if f.cells == nil {
		f.cells = make(map[string]string)
	}
	f.cells[name+p.String()] = cell
}

// log prints the table.
func (f *figures) log(t *testing.T, title string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%-30s", title, "server / client")
	for _, p := range pairs {
		fmt.Fprintf(&b, "%16s", strings.NewReplacer("JavaScript", "JS", " server ", " / ", " client", "").Replace(p.String()))
	}
	for _, name := range f.cases {
		fmt.Fprintf(&b, "\n%-30s", name)
		for _, p := range pairs {
			fmt.Fprintf(&b, "%16s", cmp.Or(f.cells[name+p.String()], "failed"))
		}
	}
	t.Log(b.String())
}

func TestNATLab(t *testing.T) {
	var times figures
	for _, c := range []struct{ server, client string }{
		{"cone", "cone"}, {"cone", "symmetric"}, {"symmetric", "cone"}, {"cone", "lan"}, {"symmetric", "lan"}, {"forward", "cone"}, {"cone", "forward"},
	} {
		t.Run(c.server+" "+c.client, func(t *testing.T) {
			for _, p := range pairs {
				t.Run(p.String(), func(t *testing.T) {
					l := newLab(t, c.server, c.client)
					server := l.open("a", p.serverJS)
					key := server.Call(t, "listen", nil).Str("publicKey")
					client := l.open("b", p.clientJS)
					dial := func() (Event, error) {
						return client.Go("connect", Args{"key": key, "size": 65536, "messages": 3, "timeout": attemptTime}).Result()
					}
					reply, err := dial()
					guessed := c.server == "symmetric" || c.client == "symmetric"
					for tries := 1; err != nil && guessed && tries < p.guesses(); tries++ {
						t.Log("no port was guessed", err)
						time.Sleep(guessPause)
						reply, err = dial()
					}
					if err != nil {
						p.fatal(t, err, client, server)
					}
					times.set(c.server+" / "+c.client, p, fmt.Sprint(reply.Num("openMs")))
					t.Logf("open after %d ms, %s %s", reply.Num("openMs"), reply.Str("path"), reply.Str("remote"))
					if c.client == "lan" && !strings.HasPrefix(reply.Str("remote"), "192.168.1.") {
						t.Errorf("the path is not the local network: %s", reply.Str("remote"))
					}
				})
			}
		})
	}
	times.log(t, "ms from connect to open")
}

// Two NATs with random ports fail without a relay, and work with one of either
// kind.
func TestNATLabSymmetricNeedsRelay(t *testing.T) {
	var times figures
	for _, p := range pairs {
		for _, relayJS := range []bool{false, true} {
			t.Run(p.String()+" "+kind(relayJS)+" relay", func(t *testing.T) {
				l := newLab(t, "symmetric", "symmetric")
				relay := l.relay(relayJS)
				server := l.open("a", p.serverJS)
				key := server.Call(t, "listen", nil).Str("publicKey")
				client := l.open("b", p.clientJS)
				if _, err := client.Go("connect", Args{"key": key, "size": 1000, "timeout": 30_000}).Result(); err == nil {
					t.Error("connected without a relay")
				}
				reply, err := client.Go("connect", Args{"key": key, "size": 65536, "messages": 0, "timeout": attemptTime, "relay": relay}).Result()
				if err != nil {
					p.fatal(t, err, client, server)
				}
				times.set("client names "+kind(relayJS)+" relay", p, fmt.Sprint(reply.Num("openMs")))
				t.Logf("open after %d ms, done after %d, %s %s", reply.Num("openMs"), reply.Num("ms"), reply.Str("path"), reply.Str("remote"))
				if !strings.HasPrefix(reply.Str("remote"), "203.0.113.1:") {
					t.Errorf("the remote is %s", reply.Str("remote"))
				}
				// The server names the relay. Unordered messages may be lost before it
				// knows both sides.
				key = server.Call(t, "listen", Args{"relay": relay}).Str("publicKey")
				reply, err = client.Go("connect", Args{"key": key, "size": 65536, "messages": 0, "timeout": attemptTime}).Result()
				if err != nil {
					p.fatal(t, fmt.Errorf("relay of the server: %w", err), client, server)
				}
				times.set("server names "+kind(relayJS)+" relay", p, fmt.Sprint(reply.Num("openMs")))
				t.Logf("relay of the server: open after %d ms, done after %d", reply.Num("openMs"), reply.Num("ms"))
			})
		}
	}
	times.log(t, "symmetric / symmetric, ms from connect to open through a relay")
}

// A relayed connection becomes direct as soon as the hole is punched.
func TestNATLabRelayedBecomesDirect(t *testing.T) {
	var times figures
	for _, p := range pairs {
		for _, relayJS := range []bool{false, true} {
			if p.theirs() && !relayJS {
				continue // our relay would be measured, once more
			}
			t.Run(p.String()+" "+kind(relayJS)+" relay", func(t *testing.T) {
				l := newLab(t, "cone", "symmetric")
				relay := l.relay(relayJS)
				server := l.open("a", p.serverJS)
				key := server.Call(t, "listen", nil).Str("publicKey")
				client := l.open("b", p.clientJS)
				dial := func() Event {
					reply, err := client.Go("connect", Args{"key": key, "size": 65536, "messages": 0, "timeout": attemptTime, "relay": relay, "hold": attemptTime}).Result()
					if err != nil {
						p.fatal(t, err, client, server)
					}
					return reply
				}
				reply := dial()
				for tries := 1; tries < p.guesses() && strings.HasPrefix(reply.Str("remote"), "203.0.113.1:"); tries++ {
					t.Log("no port was guessed")
					time.Sleep(guessPause)
					reply = dial()
				}
				times.set("with "+kind(relayJS)+" relay", p, fmt.Sprintf("%d, %d", reply.Num("openMs"), reply.Num("changedMs")))
				t.Logf("open after %d ms, %s; direct after %d ms, %s %s", reply.Num("openMs"), reply.Str("path"), reply.Num("changedMs"),
					reply.Str("last"), reply.Str("remote"))
				if !p.theirs() && !strings.HasPrefix(reply.Str("remote"), "203.0.113.11:") {
					t.Errorf("the remote is %s", reply.Str("remote"))
				}
			})
		}
	}
	times.log(t, "cone / symmetric, ms from connect to open through a relay, and to the direct path")
}

// A second connection goes through the hole that is still open. JavaScript does
// the same on both sides if it is told to.
func TestNATLabOpenHolesAreUsedAgain(t *testing.T) {
	var times figures
	for _, p := range pairs {
		t.Run(p.String(), func(t *testing.T) {
			l := newLab(t, "cone", "cone")
			server := l.open("a", p.serverJS)
			key := server.Call(t, "listen", Args{"reusable": true}).Str("publicKey")
			client := l.open("b", p.clientJS)
			for _, name := range []string{"first", "second", "third"} {
				reply, err := client.Go("connect", Args{"key": key, "size": 1000, "messages": 0, "timeout": attemptTime, "reusable": true}).Result()
				if err != nil {
					p.fatal(t, err, client, server)
				}
				times.set(name, p, fmt.Sprint(reply.Num("openMs")))
				t.Logf("%s: %v", name, reply)
			}
		})
	}
	times.log(t, "cone / cone, ms from connect to open, one after the other")
}
