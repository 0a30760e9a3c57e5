package interop

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
)

func dhtKey(t testing.TB, s string) (key hypercrypto.PublicKey) {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(key) {
		t.Fatalf("%q is no key", s)
	}
	return hypercrypto.PublicKey(b)
}

func texts(list []any) (out []string) {
	for _, v := range list {
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}

// goDHT starts a node of ours on loopback.
func goDHT(t testing.TB, o hyperdht.Options) *hyperdht.DHT {
	t.Helper()
	if !o.Listen.IsValid() {
		o.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	}
	d, err := hyperdht.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// jsDHT starts a JavaScript peer with a node on loopback.
func jsDHT(t testing.TB, bootstrap []string) *Node {
	t.Helper()
	n := StartNode(t, "", "dht-peer.js")
	n.Call(t, "open", Args{"bootstrap": bootstrap, "host": "127.0.0.1"})
	return n
}

// jsNetwork starts a network of JavaScript nodes.
func jsNetwork(t testing.TB, size int) []string {
	t.Helper()
	n := StartNode(t, "", "dht-peer.js")
	return texts(n.Call(t, "network", Args{"size": size}).List("nodes"))[:1]
}

// serveEcho sends back what comes until the server is closed.
func serveEcho(s *hyperdht.Server) {
	for {
		c, err := s.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			for {
				m, err := c.ReceiveUnordered(context.Background())
				if err != nil {
					return
				}
				_ = c.SendUnordered(m)
			}
		}()
		go func() {
			defer c.Close()
			buf := make([]byte, 1<<16)
			for {
				n, err := c.Read(buf)
				if err == io.EOF {
					_ = c.CloseWrite()
					// The other side closes when it has our end.
					_, err = c.Read(buf)
				}
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func echoServer(t testing.TB, d *hyperdht.DHT, o *hyperdht.ServerOptions) *hyperdht.Server {
	t.Helper()
	s, err := d.Listen(t.Context(), hypercrypto.NewKeyPair(), o)
	if err != nil {
		t.Fatal(err)
	}
	go serveEcho(s)
	return s
}

// checkEcho sends bytes and unordered messages and wants them back.
func checkEcho(c *hyperdht.Conn, size int) error {
	want := bytes.Repeat([]byte{7}, size)
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		failed <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if err := <-failed; err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the echo is not the same")
	}
	for i := range 3 {
		if err := echoUnordered(c, fmt.Appendf(nil, "unordered %d", i)); err != nil {
			return err
		}
	}
	return nil
}

// echoUnordered sends a message until it comes back: any may get lost, above all
// while the path changes.
func echoUnordered(c *hyperdht.Conn, m []byte) error {
	for end := time.Now().Add(patience); ; {
		if err := c.SendUnordered(m); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		back, err := c.ReceiveUnordered(ctx)
		for err == nil && !bytes.Equal(back, m) { // an earlier one, twice
			back, err = c.ReceiveUnordered(ctx)
		}
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("unordered echo: %w", err)
		}
	}
}

func TestDHTGoClientReachesJavaScriptServer(t *testing.T) {
	isolate(t)
	boot := jsNetwork(t, 10)
	server := jsDHT(t, boot)
	key := dhtKey(t, server.Call(t, "listen", nil).Str("publicKey"))
	d := goDHT(t, hyperdht.Options{Bootstrap: boot})
	for range 5 {
		start := time.Now()
		c, err := d.Connect(t.Context(), key, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, server.Log())
		}
		t.Logf("%v after %v", c.Path(), time.Since(start))
		if err := checkEcho(c, 200_000); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

func TestDHTJavaScriptClientReachesGoServer(t *testing.T) {
	isolate(t)
	boot := jsNetwork(t, 10)
	d := goDHT(t, hyperdht.Options{Bootstrap: boot})
	s := echoServer(t, d, nil)
	key := s.PublicKey()
	client := jsDHT(t, boot)
	for range 5 {
		r := client.Call(t, "connect", Args{"key": hex.EncodeToString(key[:]), "size": 200_000})
		t.Logf("open after %d ms, done after %d", r.Num("openMs"), r.Num("ms"))
	}
}

// Raw streams beside a connection, to a server and to a client.
func TestDHTRawStreamsWithJavaScript(t *testing.T) {
	isolate(t)
	boot := jsNetwork(t, 10)
	d := goDHT(t, hyperdht.Options{Bootstrap: boot})
	check := func(js *Node, c *hyperdht.Conn) {
		t.Helper()
		st, err := c.NewRawStream()
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		id := js.Call(t, "raw", Args{"stream": st.ID()}).Num("stream")
		if err := c.ConnectRaw(st, uint32(id)); err != nil {
			t.Fatal(err)
		}
		data := pattern(300_000)
		go func() {
			_, _ = st.Write(data)
			_ = st.CloseWrite()
		}()
		_ = st.SetReadDeadline(time.Now().Add(patience))
		if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back: %v\n%s", len(got), err, js.Log())
		}
	}
	server := jsDHT(t, boot)
	c, err := d.Connect(t.Context(), dhtKey(t, server.Call(t, "listen", nil).Str("publicKey")), nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Event(t, "connection")
	check(server, c)
	c.Close()

	s, err := d.Listen(t.Context(), hypercrypto.NewKeyPair(), nil)
	if err != nil {
		t.Fatal(err)
	}
	key, client := s.PublicKey(), jsDHT(t, boot)
	connecting := client.Go("connect", Args{"key": hex.EncodeToString(key[:]), "size": 1000, "messages": 0})
	if c, err = s.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(client, c)
	if _, err := io.CopyN(c, c, 1000); err != nil {
		t.Error(err)
	}
	connecting.Wait(t)
	c.Close()
}

func TestDHTDirectConnectsWithoutNetwork(t *testing.T) {
	isolate(t)
	js := StartNode(t, "", "dht-peer.js")
	addr := js.Call(t, "open", Args{"bootstrap": []string{}, "host": "127.0.0.1"}).Str("local")
	key := dhtKey(t, js.Call(t, "listen", nil).Str("publicKey"))
	d := goDHT(t, hyperdht.Options{Bootstrap: []string{}})
	c, err := d.Connect(t.Context(), key, &hyperdht.ConnectOptions{RelayAddresses: []netip.AddrPort{netip.MustParseAddrPort(addr)}})
	if err != nil {
		t.Fatalf("%v\n%s", err, js.Log())
	}
	if err := checkEcho(c, 50_000); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s := echoServer(t, d, nil)
	own := s.PublicKey()
	js.Call(t, "connect", Args{"key": hex.EncodeToString(own[:]), "through": []string{d.LocalAddr().String()}})
}
