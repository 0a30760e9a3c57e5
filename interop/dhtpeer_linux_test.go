package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

// peerVariable makes a process of this test a peer.
const peerVariable = "CLOUDPAL_DHT_PEER"

// startDHTPeer starts a peer that takes the commands of js/dht-peer.js in a
// network namespace: JavaScript's, or ours in a process of its own.
func startDHTPeer(t testing.TB, ns string, js bool) *Node {
	t.Helper()
	if js {
		node, err := exec.LookPath("node")
		if err != nil {
			t.Fatalf("the JavaScript peers need Node.js: %v", err)
		}
		return startProcess(t, "dht-peer.js in "+ns, exec.Command("ip", "netns", "exec", ns, node, interopDir()+"/js/dht-peer.js"))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", ns, self, "-test.run=^TestDHTPeerProcess$", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), peerVariable+"=1")
	return startProcess(t, "our peer in "+ns, cmd)
}

// TestDHTPeerProcess is not a test but the program of a peer.
func TestDHTPeerProcess(t *testing.T) {
	if os.Getenv(peerVariable) == "" {
		return
	}
	p := &dhtPeer{}
	var wg sync.WaitGroup
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var o dhtCommand
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			v, err := p.do(&o)
			if err != nil {
				say(map[string]any{"id": o.ID, "error": err.Error()})
				return
			}
			say(map[string]any{"id": o.ID, "value": v})
		})
	}
	if p.dht != nil {
		p.dht.Close()
	}
	wg.Wait()
}

var saying sync.Mutex

func say(v map[string]any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	saying.Lock()
	defer saying.Unlock()
	fmt.Printf("%s\n", b)
}

type dhtCommand struct {
	ID        int
	Cmd       string
	Bootstrap []string
	Host      string
	Port      uint16
	Reachable bool
	Key       string
	Relay     string
	Size      int
	Bytes     int
	Hold      int
	Timeout   int
	Local     *bool
}

type dhtPeer struct{ dht *hyperdht.DHT }

func (p *dhtPeer) do(o *dhtCommand) (any, error) {
	ctx := context.Background()
	switch o.Cmd {
	case "open":
		return p.open(ctx, o)
	case "listen":
		so := hyperdht.ServerOptions{RelayThrough: optionalKey(o.Relay)}
		s, err := p.dht.Listen(ctx, hypercrypto.NewKeyPair(), &so)
		if err != nil {
			return nil, err
		}
		go serveEcho(s)
		return keyReply(s), nil
	case "relay":
		s, err := serveRelay(ctx, p.dht)
		if err != nil {
			return nil, err
		}
		return keyReply(s), nil
	case "connect":
		return p.connect(ctx, o)
	case "talk":
		return p.talk(ctx, o)
	}
	return nil, fmt.Errorf("no such command: %s", o.Cmd)
}

func (p *dhtPeer) open(ctx context.Context, o *dhtCommand) (any, error) {
	c := hyperdht.Options{Bootstrap: o.Bootstrap}
	if o.Host != "" {
		c.Listen = netip.AddrPortFrom(netip.MustParseAddr(o.Host), o.Port)
	}
	if o.Reachable {
		c.Role, c.Reach = hyperdht.Persistent, hyperdht.Open
	}
	d, err := hyperdht.New(&c)
	if err != nil {
		return nil, err
	}
	p.dht = d
	if err := d.Ready(ctx); err != nil {
		return nil, err
	}
	s := d.Status()
	return map[string]any{"nat": s.NAT.String(), "address": s.Address.String(), "nodes": s.Nodes}, nil
}

func (p *dhtPeer) connect(ctx context.Context, o *dhtCommand) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.Timeout)*time.Millisecond)
	defer cancel()
	co := hyperdht.ConnectOptions{RelayThrough: optionalKey(o.Relay), NoLAN: o.Local != nil && !*o.Local}
	key := optionalKey(o.Key)
	start := time.Now()
	c, err := p.dht.Connect(ctx, *key, &co)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	opened, first, changed := time.Since(start), c.Path(), c.PathChanged()
	if err := checkEcho(c, o.Size); err != nil {
		return nil, err
	}
	done, changedMs := time.Since(start), int64(0)
	if o.Hold > 0 {
		select {
		case <-changed:
			changedMs = time.Since(start).Milliseconds()
		case <-time.After(time.Duration(o.Hold) * time.Millisecond):
		}
	}
	if err := checkEcho(c, o.Size); err != nil {
		return nil, fmt.Errorf("after the path changed to %v: %w", c.Path(), err)
	}
	return map[string]any{"openMs": opened.Milliseconds(), "ms": done.Milliseconds(), "changedMs": changedMs,
		"path": first.String(), "last": c.Path().String(), "remote": c.RemoteAddrPort().String()}, nil
}

// talk keeps talking to an echo server until so many bytes have come back.
func (p *dhtPeer) talk(ctx context.Context, o *dhtCommand) (any, error) {
	c, err := p.dht.Connect(ctx, *optionalKey(o.Key), nil)
	if err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.Close()
	defer close(stop)
	wg.Go(func() {
		piece := bytes.Repeat([]byte{7}, 4096)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	})
	got, said := 0, 0
	for got < o.Bytes {
		m, err := c.ReadFrame()
		if err != nil {
			return nil, fmt.Errorf("after %d bytes: %w", got, err)
		}
		if len(bytes.Trim(m, "\x07")) > 0 {
			return nil, fmt.Errorf("after %d bytes: corrupt", got)
		}
		if got += len(m); got-said >= 65536 {
			said = got
			say(map[string]any{"event": "talk", "bytes": got})
		}
	}
	return map[string]any{"bytes": got, "remote": c.RemoteAddrPort().String()}, nil
}

func optionalKey(s string) *hypercrypto.PublicKey {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return nil
	}
	key := hypercrypto.PublicKey(b)
	return &key
}

func keyReply(s *hyperdht.Server) map[string]any {
	key := s.PublicKey()
	return map[string]any{"publicKey": hex.EncodeToString(key[:])}
}

// serveRelay runs a blind relay.
func serveRelay(ctx context.Context, d *hyperdht.DHT) (*hyperdht.Server, error) {
	s, err := d.Listen(ctx, hypercrypto.NewKeyPair(), &hyperdht.ServerOptions{NoLAN: true})
	if err != nil {
		return nil, err
	}
	r := d.NewRelay(nil)
	go func() {
		for {
			c, err := s.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				key := c.RemotePublicKey()
				_ = r.Serve(context.Background(), c, key[:])
			}()
		}
	}()
	return s, nil
}
