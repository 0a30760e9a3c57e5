package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// bench is a network of machines on one bridge without any way out. The test's
// own processes are at bridgeIP.
type bench struct {
	t      testing.TB
	binary string
	names  []string
}

const bridgeIP = "10.77.0.1"

// newProgram builds the program, to be run on machines of some other network.
func newProgram(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, binary: filepath.Join(t.TempDir(), "cloudpal")}
	build := exec.Command("go", "build", "-o", b.binary, "./cmd/cloudpal")
	build.Dir = filepath.Dir(interopDir())
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build` does
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build cloudpal: %v\n%s", err, out)
	}
	return b
}

// newBench is newProgram on a bridge. The test must be alone.
func newBench(t testing.TB) *bench {
	t.Helper()
	b := newProgram(t)
	run(t, "ip", "link", "add", "br0", "type", "bridge")
	run(t, "ip", "addr", "add", bridgeIP+"/24", "dev", "br0")
	run(t, "ip", "link", "set", "br0", "up")
	return b
}

// machine adds a machine to the bridge.
func (b *bench) machine() (name string) {
	b.t.Helper()
	n := len(b.names) + 1
	name = fmt.Sprintf("cloudpal-%d-%d", os.Getpid(), n)
	b.names = append(b.names, name)
	run(b.t, "ip", "netns", "add", name)
	b.t.Cleanup(func() { run(b.t, "ip", "netns", "del", name) })
	outer := fmt.Sprintf("veth%d", n)
	run(b.t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
	run(b.t, "ip", "link", "set", outer, "master", "br0")
	run(b.t, "ip", "link", "set", outer, "up")
	for _, args := range []string{"link set lo up", fmt.Sprintf("addr add 10.77.0.%d/24 dev eth0", n+1), "link set eth0 up"} {
		run(b.t, "ip", append([]string{"-n", name}, strings.Fields(args)...)...)
	}
	return name
}

// cloudpal starts the program on a machine; "" is where the test is.
func (b *bench) cloudpal(machine, home, bootstrap string, args ...string) *Node {
	b.t.Helper()
	cmd := exec.Command(b.binary, append(args, "--json")...)
	if machine != "" {
		cmd = exec.Command("ip", append([]string{"netns", "exec", machine, b.binary}, append(args, "--json")...)...)
	}
	cmd.Env = append(os.Environ(), "CLOUDPAL_HOME="+home, "CLOUDPAL_BOOTSTRAP="+bootstrap)
	n := startProcess(b.t, "cloudpal "+args[0], cmd)
	b.t.Cleanup(func() { n.interrupt() })
	return n
}

// interrupt ends a program as Ctrl-C does, and waits.
func (n *Node) interrupt() {
	n.cmd.Process.Signal(os.Interrupt)
	select {
	case <-n.done:
	case <-time.After(patience):
		n.cmd.Process.Kill()
	}
}

// kill ends a program without giving it a moment.
func (n *Node) kill() {
	n.cmd.Process.Signal(syscall.SIGKILL)
	<-n.done
}

// ends waits until a program ends by itself, well.
func (n *Node) ends(t testing.TB) {
	t.Helper()
	select {
	case <-n.done:
	case <-time.After(3 * patience):
		t.Fatalf("it does not end\n%s", n.Log())
	}
	if n.exitErr != nil {
		t.Fatalf("%v\n%s", n.exitErr, n.Log())
	}
}

// said waits for an event of the program.
func (n *Node) said(t testing.TB, typ string) Event {
	t.Helper()
	return n.Next(t, typ, func(e Event) bool { return e.Str("type") == typ })
}

// network starts a DHT of our own nodes and returns its bootstrap address.
func (b *bench) network() string {
	b.t.Helper()
	const at = bridgeIP + ":49737"
	b.cloudpal("", b.t.TempDir(), "none", "dht", "bootstrap", "--at", at, "--listen", at).said(b.t, "dht")
	for i := range 3 {
		b.cloudpal("", b.t.TempDir(), at, "dht", "node", "--reachable", "--listen", fmt.Sprintf("%s:%d", bridgeIP, 49738+i)).said(b.t, "dht")
	}
	return at
}

// folder makes a folder with small files and one of random bytes of a size.
func folder(t testing.TB, size int) (dir string, big []byte) {
	t.Helper()
	dir = t.TempDir()
	big = make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(big)
	for name, content := range map[string][]byte{"a.txt": []byte("hello"), "sub/b.txt": []byte("world"), "big.bin": big} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, big
}

func wantFile(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d: %v", path, len(got), len(want), err)
	}
}

// A link is enough: two machines that know nothing of each other but a bootstrap
// node.
func TestLinkIsEnough(t *testing.T) {
	if !alone(t) {
		return
	}
	b := newBench(t)
	boot := b.network()
	src, big := folder(t, 3<<20)
	one, two, three := b.machine(), b.machine(), b.machine()
	homes := t.TempDir()
	share := b.cloudpal(one, filepath.Join(homes, "one"), boot, "share", src)
	link := share.said(t, "shared").Str("link")
	out := filepath.Join(t.TempDir(), "out")
	get := b.cloudpal(two, filepath.Join(homes, "two"), boot, "get", link, out, "--timeout", "3m")
	if p := get.said(t, "peer"); p.Str("state") != "connected" || p.Str("path") == "" || !strings.HasPrefix(p.Str("address"), "udp://10.77.0.") {
		t.Errorf("peer %v", p)
	}
	get.said(t, "got")
	get.ends(t)
	wantFile(t, filepath.Join(out, "big.bin"), big)
	wantFile(t, filepath.Join(out, "sub/b.txt"), []byte("world"))

	// A seeder keeps a copy online when the owner is gone.
	seed := b.cloudpal(two, filepath.Join(homes, "seeder"), boot, "seed", link)
	seed.Next(t, "a complete copy", func(e Event) bool { return e.Str("type") == "seeding" && e.Bool("complete") })
	status := b.cloudpal(one, filepath.Join(homes, "one"), boot, "status")
	if i := status.said(t, "info"); i.Obj("dht").Num("nodes") == 0 || i.Obj("dht").Num("topics") != 1 {
		t.Errorf("dht: %v", i["dht"])
	}
	if p := status.said(t, "peer"); p.Str("state") != "connected" || p.Str("path") == "" || p.Num("sent") < 3<<20 {
		t.Errorf("status: %v", p)
	}
	share.interrupt()
	out3 := filepath.Join(t.TempDir(), "out")
	last := b.cloudpal(three, filepath.Join(homes, "three"), boot, "get", link, out3, "--timeout", "3m")
	last.said(t, "got")
	last.ends(t)
	wantFile(t, filepath.Join(out3, "big.bin"), big)

	// The doctor of the network sees what there is.
	doctor := b.cloudpal(three, filepath.Join(homes, "three"), boot, "net", "doctor")
	if d := doctor.said(t, "network"); d.Num("answers") == 0 || !strings.HasPrefix(d.Str("address"), "10.77.0.") {
		t.Errorf("doctor: %v", d)
	}
}

// Either side may be a JavaScript program with Hyperswarm and Hyperdrive, on a
// DHT of JavaScript nodes.
func TestLinkIsEnoughForJavaScript(t *testing.T) {
	if !alone(t) {
		return
	}
	b := newBench(t)
	testnet := StartNode(t, "", "testnet.js", "6", bridgeIP)
	args := testnet.Event(t, "ready").List("bootstrap")
	first := Event(args[0].(map[string]any))
	boot := fmt.Sprintf("%s:%d", first.Str("host"), first.Num("port"))
	one := b.machine()
	homes := t.TempDir()
	js := startPeer(t, "", "drive-peer.js", "store", seedHex(5))
	_, seed := seeded(7)
	js.Call(t, "swarm", Args{"bootstrap": args, "seed": seed})

	// They share, we get.
	theirs := js.Call(t, "drive", Args{"drive": "d", "name": "d"})
	js.Call(t, "put", Args{"drive": "d", "path": "/sub/hello.txt", "text": "from JavaScript"})
	js.Call(t, "put", Args{"drive": "d", "path": "/big.bin", "seed": 3, "size": 2 << 20})
	key := parseKey(t, theirs.Str("key"))
	topic := key.Discovery()
	js.Call(t, "swarmJoin", Args{"topic": hex.EncodeToString(topic[:])})
	out := filepath.Join(t.TempDir(), "out")
	get := b.cloudpal(one, filepath.Join(homes, "get"), boot, "get", "hyper://"+key.String(), out, "--timeout", "3m")
	got := get.said(t, "got")
	get.ends(t)
	wantFile(t, filepath.Join(out, "sub/hello.txt"), []byte("from JavaScript"))
	if got.Num("files") != 2 || got.Num("bytes") != 2<<20+15 {
		t.Errorf("got %v", got)
	}

	// We share, they get.
	src, _ := folder(t, 2<<20)
	share := b.cloudpal(one, filepath.Join(homes, "share"), boot, "share", src)
	shared := share.said(t, "shared")
	ours, err := hypercrypto.ParseKey(shared.Str("key"))
	if err != nil {
		t.Fatal(err)
	}
	topic = ours.Discovery()
	js.Call(t, "drive", Args{"drive": "ours", "key": ours.Hex()})
	js.finds(t, topic, func() bool {
		return js.Call(t, "version", Args{"drive": "ours"}).Num("version") >= shared.Num("version")
	})
	if f := js.Call(t, "get", Args{"drive": "ours", "path": "/a.txt"}); f.Str("text") != "hello" {
		t.Errorf("JavaScript reads %v", f)
	}
	if f := js.Call(t, "get", Args{"drive": "ours", "path": "/big.bin"}); f.Num("size") != 2<<20 {
		t.Errorf("JavaScript reads %v", f)
	}
}

// Either side may be killed in the middle: the transfer goes on by itself when
// the owner is back, and where it stopped when the same get is run again.
func TestTransferSurvivesKills(t *testing.T) {
	if !alone(t) {
		return
	}
	const size = 200 << 20
	b := newBench(t)
	boot := b.network()
	src, big := folder(t, size)
	one, two := b.machine(), b.machine()
	homes := t.TempDir()
	startShare := func() (*Node, string) {
		share := b.cloudpal(one, filepath.Join(homes, "one"), boot, "share", src)
		return share, share.said(t, "shared").Str("link")
	}
	// Nobody gets to the end before the other is killed.
	b.cloudpal(one, filepath.Join(homes, "one"), boot, "limit", "--up-limit", "20MB").ends(t)
	share, link := startShare()
	out := filepath.Join(t.TempDir(), "out")
	startGet := func() *Node {
		return b.cloudpal(two, filepath.Join(homes, "two"), boot, "get", link, out, "--timeout", "3m")
	}
	half := func(n *Node, at uint64) uint64 {
		e := n.Next(t, "some progress", func(e Event) bool {
			return e.Str("type") == "progress" && e.Str("phase") == "download" && e.Num("bytes") >= at
		})
		return e.Num("bytes")
	}
	get := startGet()
	at := half(get, size/20)
	share.kill()
	t.Logf("the owner is killed after %d bytes", at)
	share, _ = startShare()
	at = half(get, max(at, size/20)+size/20)
	t.Logf("it goes on by itself: %d bytes", at)
	get.kill()
	get = startGet()
	e := get.Next(t, "progress again", func(e Event) bool {
		return e.Str("type") == "progress" && e.Str("phase") == "download" && e.Num("bytes") > 0
	})
	t.Logf("the same get goes on at %d bytes", e.Num("bytes"))
	get.said(t, "got")
	get.ends(t)
	wantFile(t, filepath.Join(out, "big.bin"), big)
}

// A peer that is named by address and found through the DHT too is connected
// once, and stays so.
func TestAddressAndLinkMakeOneConnection(t *testing.T) {
	if !alone(t) {
		return
	}
	b := newBench(t)
	boot := b.network()
	src, _ := folder(t, 1<<20)
	one, two := b.machine(), b.machine()
	homes := t.TempDir()
	const address = "tcp://10.77.0.2:4100"
	share := b.cloudpal(one, filepath.Join(homes, "one"), boot, "share", src, "--listen", address)
	link := share.said(t, "shared").Str("link")
	complete := func(e Event) bool { return e.Str("type") == "seeding" && e.Bool("complete") }
	// connections lists what a machine is connected to, in its running node.
	connections := func(machine, home string) (paths []string) {
		n := b.cloudpal(machine, filepath.Join(homes, home), boot, "status")
		n.ends(t)
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, e := range n.events {
			if e.Str("type") == "peer" && e.Str("state") == "connected" {
				paths = append(paths, e.Str("address"))
			}
		}
		return paths
	}
	for _, c := range []struct{ home, first, second string }{{"address-first", address, ""}, {"link-first", "", address}} {
		args := func(peer string) []string {
			list := []string{"seed", link}
			if peer != "" {
				list = append(list, "--peer", peer)
			}
			return list
		}
		seed := b.cloudpal(two, filepath.Join(homes, c.home), boot, args(c.first)...)
		seed.Next(t, "a complete copy", complete)
		again := b.cloudpal(two, filepath.Join(homes, c.home), boot, args(c.second)...)
		again.Next(t, "a complete copy", complete)
		for range 4 {
			for _, m := range [][2]string{{one, "one"}, {two, c.home}} {
				eventually(t, "connected once", func() bool { return len(connections(m[0], m[1])) == 1 })
			}
		}
		again.interrupt()
		seed.interrupt()
	}
}

// The same behind routers: opened for each other, or with a relay where that
// cannot be. The doctor knows which is which.
func TestLinkIsEnoughBehindRouters(t *testing.T) {
	for _, c := range []struct {
		name, owner, reader string
		relay, only         bool
		path                string
	}{
		{"cone and cone", "cone", "cone", false, false, "punched"},
		{"cone and symmetric", "cone", "symmetric", false, false, "punched"},
		{"symmetric with relay", "symmetric", "symmetric", true, false, "relayed"},
		{"relay only", "cone", "cone", true, true, "relayed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, c.owner, c.reader)
			b := newProgram(t)
			homes := t.TempDir()
			src, big := folder(t, 300_000)
			var relay []string
			if c.relay {
				relay = append(relay, "--relay", l.relay(true))
			}
			if c.only {
				relay = append(relay, "--relay-only")
			}
			share := b.cloudpal(l.ns("a"), filepath.Join(homes, "a"), l.boot[0], append([]string{"share", src}, relay...)...)
			link := share.said(t, "shared").Str("link")
			out := filepath.Join(t.TempDir(), "out")
			get := b.cloudpal(l.ns("b"), filepath.Join(homes, "b"), l.boot[0], append([]string{"get", link, out, "--timeout", "3m"}, relay...)...)
			if p := get.said(t, "peer"); p.Str("state") != "connected" || p.Str("path") != c.path {
				t.Errorf("peer %v", p)
			}
			get.said(t, "got")
			get.ends(t)
			wantFile(t, filepath.Join(out, "big.bin"), big)
			nat := map[string]string{"cone": "consistent", "symmetric": "random"}
			if d := b.cloudpal(l.ns("b"), filepath.Join(homes, "b"), l.boot[0], "net", "doctor").said(t, "network"); d.Str("nat") != nat[c.reader] {
				t.Errorf("doctor: %v", d)
			}
		})
	}
}
