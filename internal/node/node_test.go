package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/api"
	"github.com/tradle/cloudpal/internal/api/client"
	"github.com/tradle/cloudpal/internal/fault"
)

func open(t *testing.T, home string) *Node {
	t.Helper()
	n, err := Open(t.Context(), Options{Home: home, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

func TestHomeFollowsTheEnvironment(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cloudpal, xdg, want string }{
		{"/data", "/xdg", "/data"},
		{"relative", "", filepath.Join(here, "relative")},
		{"", "/xdg", "/xdg/cloudpal"},
		{"", "relative", "/home/x/.local/share/cloudpal"},
		{"", "", "/home/x/.local/share/cloudpal"},
	} {
		t.Setenv("CLOUDPAL_HOME", c.cloudpal)
		t.Setenv("XDG_DATA_HOME", c.xdg)
		t.Setenv("HOME", "/home/x")
		if got, err := Home(); err != nil || got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
}

func TestOthersAreKeptOutOfTheDataFolder(t *testing.T) {
	home := filepath.Join(t.TempDir(), "deep", "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	n := open(t, home)
	for path, want := range map[string]os.FileMode{home: 0o700, n.socket: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestASecondNodeIsToldWhoHoldsTheFolder(t *testing.T) {
	home := t.TempDir()
	first := open(t, home)
	_, err := Open(t.Context(), Options{Home: home})
	if fault.KindOf(err) != fault.Busy || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) || len(fault.HintsOf(err)) == 0 {
		t.Errorf("second: %v", err)
	}
	if !client.Answers(t.Context(), Socket(home)) {
		t.Error("the second took the socket of the first")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, home)
}

func TestTheSocketOfADeadNodeIsReplaced(t *testing.T) {
	for _, length := range []int{0, 150} {
		home := filepath.Join(t.TempDir(), strings.Repeat("x", length))
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(home, socketName)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n := open(t, home)
		c := client.New(client.Socket(Socket(home)))
		info, err := c.Info(t.Context())
		c.Close()
		if err != nil || info.PID != os.Getpid() || info.Version != "test" || info.Home != home {
			t.Errorf("a path of %d bytes: %+v, %v", len(path), info, err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		for _, left := range []string{path, n.socket} {
			if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", left, err)
			}
		}
	}
}

func TestClosingEndsRequestsThatRun(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	n, err := Open(t.Context(), Options{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	for name, transport := range map[string]http.RoundTripper{"socket": client.Socket(Socket(home)), "memory": client.Memory(n.Handler())} {
		c := client.New(transport)
		defer c.Close()
		shared, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			for e, err := range c.Events(context.Background(), "/v1/share", api.ShareRequest{Path: dir, Connect: api.Connect{AnyListener: true}}) {
				if err != nil {
					ended <- err
					return
				}
				if e.Type == api.TypeShared {
					close(shared)
				}
			}
			ended <- nil
		}()
		select {
		case <-shared:
		case err := <-ended:
			t.Fatalf("%s: %v", name, err)
		}
		defer func() {
			if err := <-ended; fault.KindOf(err) != fault.Closing {
				t.Errorf("%s: %v", name, err)
			}
		}()
	}
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestConnectionsLastAsLongAsTheyAreAskedFor(t *testing.T) {
	one, two := open(t, t.TempDir()), open(t, t.TempDir())
	listen, leave, err := one.network.Join(t.Context(), api.Connect{Listen: []string{"tcp://127.0.0.1:0"}}, nil)
	if err != nil || len(listen) != 1 {
		t.Fatalf("%v, %v", listen, err)
	}
	states := make(chan api.Peer, 100)
	report := func(p api.Peer) { states <- p }
	next := func(want string) api.Peer {
		t.Helper()
		for {
			select {
			case p := <-states:
				if p.State == want {
					return p
				}
			case <-time.After(time.Minute):
				t.Fatalf("no %s", want)
			}
		}
	}
	_, part, err := two.network.Join(t.Context(), api.Connect{Peers: listen}, report)
	if err != nil {
		t.Fatal(err)
	}
	if p := next("connected"); p.Key != one.network.keyPair.Public.String() || p.Address != listen[0] {
		t.Errorf("peer %+v", p)
	}
	if peers := two.network.peers(); len(peers) != 1 || peers[0].State != "connected" {
		t.Errorf("peers %+v", peers)
	}
	// A second request shares the connection, and keeps it when the first ends.
	_, partAgain, err := two.network.Join(t.Context(), api.Connect{Peers: listen}, report)
	if err != nil {
		t.Fatal(err)
	}
	next("connected")
	part()
	if len(two.network.peers()) != 1 {
		t.Error("the connection ended with the first of two requests")
	}
	partAgain()
	for until := time.Now().Add(time.Minute); len(two.network.peers()) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("peers %+v", two.network.peers())
		}
	}
	leave()
	leave() // twice does no harm
	if len(one.network.addresses()) != 0 {
		t.Error("still listening")
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(listen[0], "tcp://")); err == nil {
		conn.Close()
		t.Error("still accepting")
	}
}

func TestAPeerThatIsAwayIsTriedAgain(t *testing.T) {
	one, two := open(t, t.TempDir()), open(t, t.TempDir())
	for !triedAgain(t, one, two) {
	}
}

// triedAgain has one node dial an address before the other listens there. It returns false
// if another program took that meanwhile.
func triedAgain(t *testing.T, one, two *Node) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	states := make(chan api.Peer, 100)
	_, part, err := two.network.Join(t.Context(), api.Connect{Peers: []string{"tcp://" + address}}, func(p api.Peer) { states <- p })
	if err != nil {
		t.Fatal(err)
	}
	defer part()
	if p := <-states; p.State != "retrying" || p.Error == "" || strings.Contains(p.Error, address) {
		t.Errorf("state %+v", p)
	}
	_, leave, err := one.network.Join(t.Context(), api.Connect{Listen: []string{"tcp://" + address}}, nil)
	if fault.KindOf(err) == fault.Busy {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	for p := range states {
		if p.State == "connected" {
			break
		}
	}
	return true
}

func TestAddressesAreChecked(t *testing.T) {
	for address, want := range map[string]string{
		"tcp://127.0.0.1:80": "127.0.0.1:80", "tcp://[::1]:0": "[::1]:0", "tcp://host.example:4977": "host.example:4977",
		"127.0.0.1:80": "", "tcp://": "", "tcp://host": "", "udp://host:1": "", "tcp://host:1/x": "", "tcp://host:1?x": "", "": "", "tcp://host:": "", "::": "",
	} {
		got, err := parseAddress(address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", address, got, err)
		}
		if err != nil && fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", address, err)
		}
	}
	n := open(t, t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, _, err := n.network.Join(t.Context(), api.Connect{Listen: []string{"tcp://" + l.Addr().String()}}, nil); fault.KindOf(err) != fault.Busy {
		t.Errorf("an address that is taken: %v", err)
	}
}

func TestAllInterfacesBecomeAddressesThatPeersCanUse(t *testing.T) {
	list := reachable(&net.TCPAddr{IP: net.IPv4zero, Port: 4100})
	if len(list) == 0 || slices.ContainsFunc(list, func(a string) bool { return strings.Contains(a, "0.0.0.0") || !strings.HasSuffix(a, ":4100") }) {
		t.Errorf("addresses %q", list)
	}
	if list := reachable(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5}); !slices.Equal(list, []string{"tcp://127.0.0.1:5"}) {
		t.Errorf("addresses %q", list)
	}
}

func TestPausesGrowAndStayBounded(t *testing.T) {
	for failures := range 100 {
		base := lastPause
		if failures < 7 {
			base = min(firstPause<<failures, lastPause)
		}
		if p := backoff(failures); p < base*3/4 || p > base*5/4 {
			t.Errorf("after %d failures: %v", failures, p)
		}
	}
}
