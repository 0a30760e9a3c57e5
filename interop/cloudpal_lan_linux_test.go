package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plainly starts the program on a machine as a newcomer does: nothing in the
// environment says how to find peers.
func (b *bench) plainly(machine, home string, args ...string) *Node {
	b.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", machine, b.binary}, append(args, "--json")...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "CLOUDPAL_BOOTSTRAP=") || strings.HasPrefix(v, "CLOUDPAL_LAN=")
	})
	cmd.Env = append(cmd.Env, "CLOUDPAL_HOME="+home)
	n := startProcess(b.t, "cloudpal "+args[0], cmd)
	b.t.Cleanup(func() { n.interrupt() })
	return n
}

// fails waits until a program ends with an error, and returns it.
func (n *Node) fails(t testing.TB) Event {
	t.Helper()
	e := n.said(t, "error")
	<-n.done
	if n.exitErr == nil {
		t.Errorf("it reports %v and ends well", e)
	}
	return e
}

func complete(e Event) bool { return e.Str("type") == "seeding" && e.Bool("complete") }

// Two machines in one house, without a way out of it: share here, get there, and
// nothing else.
func TestTwoCommandsInOneHouse(t *testing.T) {
	if !alone(t) {
		return
	}
	b := newBench(t)
	src, big := folder(t, 3<<20)
	one, two, three := b.machine(), b.machine(), b.machine()
	homes := t.TempDir()
	share := b.plainly(one, filepath.Join(homes, "one"), "share", src)
	link := share.said(t, "shared").Str("link")
	out := filepath.Join(t.TempDir(), "out")
	get := b.plainly(two, filepath.Join(homes, "two"), "get", link, out)
	p := get.Next(t, "a peer", func(e Event) bool { return e.Str("type") == "peer" && e.Str("state") == "connected" })
	if a := p.Str("address"); p.Str("path") != "lan" || !strings.HasPrefix(a, "tcp://10.77.0.2:") && !strings.HasPrefix(a, "tcp://[fe80:") {
		t.Errorf("peer %v", p)
	}
	get.said(t, "got")
	get.ends(t)
	wantFile(t, filepath.Join(out, "big.bin"), big)
	wantFile(t, filepath.Join(out, "a.txt"), []byte("hello"))
	wantFile(t, filepath.Join(out, "sub/b.txt"), []byte("world"))

	// Several machines that share and look at the same time have one connection
	// to each other, however many addresses they see.
	seeds := map[string]*Node{}
	for name, machine := range map[string]string{"two": two, "three": three} {
		seeds[name] = b.plainly(machine, filepath.Join(homes, name), "seed", link)
	}
	for _, s := range seeds {
		s.Next(t, "a complete copy", complete)
	}
	for name, machine := range map[string]string{"one": one, "two": two, "three": three} {
		eventually(t, "connected to both others over the local network", func() bool {
			keys := map[string]int{}
			for _, p := range b.peersOf(machine, filepath.Join(homes, name)) {
				if p.Str("path") == "lan" {
					keys[p.Str("key")]++
				}
			}
			for key, n := range keys {
				if n != 1 {
					t.Errorf("%s has %d connections to %s", name, n, key)
				}
			}
			return len(keys) == 2
		})
	}

	// The owner is killed and comes back at another port: it is found again.
	share.kill()
	share = b.plainly(one, filepath.Join(homes, "one"), "share", src)
	share.said(t, "shared")
	eventually(t, "the owner is back", func() bool { return len(b.peersOf(one, filepath.Join(homes, "one"))) == 2 })

	// Without the local network nobody is found, and the reason is said.
	lost := b.plainly(two, filepath.Join(homes, "lost"), "get", link, filepath.Join(t.TempDir(), "out"), "--no-lan", "--timeout", "5s")
	if e := lost.fails(t); e.Str("kind") != "unavailable" || !strings.Contains(strings.Join(texts(e.List("hints")), "\n"), "--no-lan") {
		t.Errorf("without the local network: %v", e)
	}
	for _, s := range seeds {
		s.interrupt()
	}
	share.interrupt()

	// Nor is somebody found who does not want to be.
	share = b.plainly(one, filepath.Join(homes, "one"), "share", src, "--no-lan")
	for _, a := range texts(share.said(t, "shared").List("listen")) {
		if !strings.HasPrefix(a, "tcp://127.0.0.1:") {
			t.Errorf("it listens at %s", a)
		}
	}
	lost = b.plainly(two, filepath.Join(homes, "lost"), "get", link, filepath.Join(t.TempDir(), "out"), "--timeout", "5s")
	if e := lost.fails(t); e.Str("kind") != "unavailable" {
		t.Errorf("from somebody who is not on the local network: %v", e)
	}
}

// peersOf lists the connections of a machine's running node.
func (b *bench) peersOf(machine, home string) (list []Event) {
	n := b.plainly(machine, home, "status")
	n.ends(b.t)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Str("type") == "peer" && e.Str("state") == "connected" {
			list = append(list, e)
		}
	}
	return list
}

// Files are handed over with the same code on one link without a DHT, and through
// a DHT without a common link.
func TestHandoffNearAndFar(t *testing.T) {
	if !alone(t) {
		return
	}
	b := newBench(t)
	boot := b.network()
	src, big := folder(t, 3<<20)
	one, two := b.machine(), b.machine()
	homes := t.TempDir()
	for _, c := range []struct {
		name      string
		dht       string
		from, to  []string
		reachable bool
	}{
		{"near", "none", nil, nil, true},
		{"far", boot, []string{"--no-lan"}, []string{"--no-lan"}, true},
		{"both", boot, nil, nil, true},
		{"one of both each", boot, []string{"--no-dht"}, []string{"--no-lan"}, false},
		{"nowhere", boot, []string{"--no-dht", "--no-lan"}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t: t, binary: b.binary}
			lan := "" // all interfaces
			t.Setenv("CLOUDPAL_LAN", lan)
			send := b.cloudpal(one, filepath.Join(homes, "one"), c.dht, append([]string{"send", filepath.Join(src, "big.bin")}, c.from...)...)
			if c.name == "nowhere" {
				if e := send.fails(t); e.Str("kind") != "usage" || len(e.List("hints")) == 0 {
					t.Errorf("%v", e)
				}
				return
			}
			code := send.said(t, "code").Str("code")
			out := t.TempDir()
			args := append([]string{"receive", code, "--yes", "--dest", out}, c.to...)
			if !c.reachable {
				receive := b.cloudpal(two, filepath.Join(homes, "two"), c.dht, append(args, "--timeout", "5s")...)
				if e := receive.fails(t); e.Str("kind") != "unavailable" {
					t.Errorf("%v", e)
				}
				return
			}
			receive := b.cloudpal(two, filepath.Join(homes, "two"), c.dht, args...)
			receive.said(t, "received")
			receive.ends(t)
			send.said(t, "sent")
			send.ends(t)
			wantFile(t, filepath.Join(out, "big.bin"), big)
		})
	}

	// A wrong code ends it, through the DHT too.
	send := b.cloudpal(one, filepath.Join(homes, "one"), boot, "send", src, "--no-lan")
	code := send.said(t, "code").Str("code")
	wrong := code[:4] + "-acorn-zebra"
	if wrong == code {
		wrong = code[:4] + "-zebra-acorn"
	}
	receive := b.cloudpal(two, filepath.Join(homes, "two"), boot, "receive", wrong, "--yes", "--dest", t.TempDir(), "--no-lan")
	if e := receive.fails(t); e.Str("kind") != "permission" {
		t.Errorf("with a wrong code: %v", e)
	}
	if e := send.fails(t); e.Str("kind") != "permission" {
		t.Errorf("when a wrong code was tried: %v", e)
	}
}
