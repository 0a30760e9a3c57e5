package dhtrelay

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestHostileClientsAreDisconnected(t *testing.T) {
	kp := hypercrypto.NewKeyPair()
	mixed := keyOf(kp, true)
	mixed.public = hypercrypto.NewKeyPair().Public
	for name, send := range map[string]func(c *wsClient){
		"request before the handshake": func(c *wsClient) { c.send(typeLookup, &lookup{}) },
		"short handshake":              func(c *wsClient) { c.channel.Send(typeHandshake, []byte{0, 1}) },
		"mixed keys":                   func(c *wsClient) { c.send(typeHandshake, &handshake{mixed}) },
		"short message":                func(c *wsClient) { c.hello(kp, true).channel.Send(typeLookup, []byte{1}) },
		"array without elements":       func(c *wsClient) { c.hello(kp, true).channel.Send(typeData, []byte{1, 0, 0, 0, 0xfd, 0xff, 0xff}) },
		"number used twice": func(c *wsClient) {
			c.hello(kp, false)
			for range 2 {
				c.send(typeListen, &listen{alias: 1, key: keyOf(kp, false)})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			c := l.dial()
			send(c)
			if code := c.status(); code != websocket.StatusPolicyViolation {
				t.Errorf("status %v, %v", code, c.err)
			}
		})
	}
}

func TestClientsThatSpeakNoProtomuxAreDisconnected(t *testing.T) {
	for name, m := range map[string]struct {
		typ  websocket.MessageType
		body []byte
	}{
		"text":     {websocket.MessageText, []byte("hi")},
		"no frame": {websocket.MessageBinary, []byte{0, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, _, err := newLab(t, nil).dialWS()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			if err := conn.Write(t.Context(), m.typ, m.body); err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, _, err = conn.Read(t.Context())
			}
			if code := websocket.CloseStatus(err); code != websocket.StatusPolicyViolation {
				t.Errorf("status %v, %v", code, err)
			}
		})
	}
}

func TestTooLargeMessageDisconnects(t *testing.T) {
	l := newLab(t, &Options{MaxMessage: 100 << 10})
	c := l.dial().hello(hypercrypto.NewKeyPair(), true)
	c.sendText(1, strings.Repeat("x", 101<<10))
	if code := c.status(); code != websocket.StatusMessageTooBig {
		t.Errorf("status %v, %v", code, c.err)
	}
}

func TestClientsAreCounted(t *testing.T) {
	l := newLab(t, &Options{MaxClients: 3, MaxClientsPerAddress: 2, Address: func(r *http.Request) string { return r.Header.Get("From") }})
	dial := func(from string) int {
		t.Helper()
		tr := &http.Transport{DialContext: l.net.dial, DisableKeepAlives: true}
		conn, res, err := websocket.Dial(t.Context(), "ws://relay/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr},
			HTTPHeader: http.Header{"From": {from}}})
		if err == nil {
			t.Cleanup(func() { conn.CloseNow() })
		}
		return res.StatusCode
	}
	for _, c := range []struct {
		from string
		want int
	}{{"a", 101}, {"a", 101}, {"a", 429}, {"b", 101}, {"b", 503}} {
		if got := dial(c.from); got != c.want {
			t.Errorf("client from %s: status %d instead of %d", c.from, got, c.want)
		}
	}
	if n := l.relay.Clients(); n != 3 {
		t.Errorf("%d clients", n)
	}
}

func TestStreamsServersAndQueriesAreCounted(t *testing.T) {
	l := newLab(t, &Options{MaxStreams: 2, MaxServers: 1, MaxQueries: 1})
	kp := hypercrypto.NewKeyPair()
	srv := l.listen(kp)
	client := hypercrypto.NewKeyPair()
	c := l.dial().hello(client, true)
	for a := range alias(2) {
		c.send(typeConnect, &connect{alias: a, key: keyOf(client, true), remote: kp.Public})
		next[*open](c)
		l.accept(srv)
	}
	c.send(typeConnect, &connect{alias: 2, key: keyOf(client, true), remote: kp.Public})
	if d := next[*destroy](c); d.alias != 2 || d.err != errStreams.Error() {
		t.Errorf("third stream: %+v", d)
	}
	c.send(typeListen, &listen{alias: 1, key: keyOf(client, true)})
	next[*listening](c)
	c.send(typeListen, &listen{alias: 2, key: keyOf(hypercrypto.NewKeyPair(), true)})
	on := next[*listening](c)
	if n := next[*number](c); on.remote != 2 || n.alias != on.alias {
		t.Errorf("second server: listening %+v, closed %d", on, n.alias)
	}
	// The client keeps its key and does not sign, so the query lasts.
	c.send(typeAnnounce, &announce{id: 3, key: keyOf(client, false)})
	next[*result](c)
	next[*sign](c)
	c.send(typeLookup, &lookup{id: 4})
	if n := next[*number](c); n.alias != 4 {
		t.Errorf("finished %d", n.alias)
	}
	// A stream beyond the limit is not accepted either.
	other := hypercrypto.NewKeyPair()
	conns := make(chan Stream, 1)
	go func() {
		conn, err := l.dht.Connect(context.Background(), Identity{KeyPair: other}, client.Public)
		if err != nil {
			t.Errorf("connect: %v", err)
		}
		conns <- conn
	}()
	c.send(typeAccept, &number{next[*incoming](c).id})
	conn := <-conns
	if _, err := conn.ReadFrame(); err == nil {
		t.Error("a third stream was accepted")
	}
	conn.Close()
}

func TestRequestsAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &Options{RequestRate: 2, Burst: 4})
		c := l.dial().hello(hypercrypto.NewKeyPair(), true)
		start := time.Now()
		for id := range alias(20) {
			c.send(typeLookup, &lookup{id: id})
			next[*result](c)
			next[*number](c)
		}
		// 4 at once, the rest at 2 a second; the last one's price is paid later.
		if d := time.Since(start); d < 6*time.Second || d > 10*time.Second {
			t.Errorf("20 requests took %v", d)
		}
	})
}

func TestSilentClientIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		kp := hypercrypto.NewKeyPair()
		alive := l.dial().hello(kp, true)
		start := time.Now()
		conn, _, err := l.dialWS()
		if err != nil {
			t.Fatal(err)
		}
		// Open and handshake, then pings without a pong.
		open := append([]byte{0, 1, 1, byte(len(protocol))}, protocol...)
		hello := (&handshake{keyOf(kp, false)}).appendTo([]byte{1, typeHandshake})
		for _, f := range [][]byte{append(open, 0), hello} {
			if err := conn.Write(t.Context(), websocket.MessageBinary, f); err != nil {
				t.Fatal(err)
			}
		}
		pings := 0
		for {
			_, f, err := conn.Read(t.Context())
			if err != nil {
				break
			}
			if bytes.Equal(f, []byte{1, typePing}) {
				pings++
			}
		}
		if d := time.Since(start); d < 45*time.Second || d > 61*time.Second || pings < 2 {
			t.Errorf("disconnected after %v and %d pings", d, pings)
		}
		time.Sleep(10 * time.Minute)
		select {
		case <-alive.done:
			t.Errorf("a client that answers pings was disconnected: %v", alive.err)
		default:
		}
	})
}

func TestClientWithoutHandshakeIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		start := time.Now()
		c := l.dial()
		if code := c.status(); code != websocket.StatusPolicyViolation {
			t.Errorf("status %v", code)
		}
		if d := time.Since(start); d < 10*time.Second || d > 25*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// connected returns a client with one stream, and the peer's end of it.
func (l *lab) connected() (c *wsClient, peer Stream) {
	l.t.Helper()
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	srv := l.listen(server)
	c = l.dial().hello(client, true)
	c.send(typeConnect, &connect{alias: 7, key: keyOf(client, true), remote: server.Public})
	next[*open](c)
	return c, l.accept(srv)
}

// A client that does not read stops its peers.
func TestClientThatDoesNotReadHoldsNothing(t *testing.T) {
	l := newLab(t, &Options{MaxQueued: 64 << 10, StallTimeout: time.Hour})
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	srv := l.listen(server)
	conn, _, err := l.dialWS()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	open := append([]byte{0, 1, 1, byte(len(protocol))}, protocol...)
	frames := [][]byte{append(open, 0), (&handshake{keyOf(client, true)}).appendTo([]byte{1, typeHandshake})}
	for a := range alias(8) {
		frames = append(frames, (&connect{alias: a, key: keyOf(client, true), remote: server.Public}).appendTo([]byte{1, typeConnect}))
	}
	for _, f := range frames {
		if err := conn.Write(t.Context(), websocket.MessageBinary, f); err != nil {
			t.Fatal(err)
		}
	}
	sent := make(chan int, 8)
	for range 8 {
		peer := l.accept(srv)
		go func() {
			n := 0
			for n < 8<<20 {
				m, err := peer.Write(make([]byte, 32<<10))
				if n += m; err != nil {
					break
				}
			}
			sent <- n
		}()
	}
	// All that can be on the way: the queue, a frame or two of every stream and
	// what the network holds. Then nothing moves.
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	waitFor(t, func() bool { return l.relay.buffered.Load() >= 8*32<<10 })
	for range 2000 {
		// More questions; the answers must not pile up either.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := conn.Write(ctx, websocket.MessageBinary, []byte{1, typePing})
		cancel()
		if err != nil {
			break
		}
	}
	if n := l.relay.buffered.Load(); n > 8*33<<10+64<<10 {
		t.Errorf("%d bytes are held", n)
	}
	conn.CloseNow()
	for range 8 {
		if n := <-sent; n > 1<<20 {
			t.Errorf("a peer could send %d bytes", n)
		}
	}
}

// A client that sends faster than its peer reads is not read from.
func TestPeerThatDoesNotReadStopsTheClient(t *testing.T) {
	l := newLab(t, &Options{MaxQueued: 64 << 10, StallTimeout: time.Hour})
	c, peer := l.connected()
	total := 0
	piece := strings.Repeat("x", 16<<10)
	for range 200 {
		c.sendText(7, piece)
		total += len(piece)
	}
	waitFor(t, func() bool { return l.relay.buffered.Load() > 64<<10 })
	if n := l.relay.buffered.Load(); n > 1<<20 {
		t.Errorf("%d bytes are held", n)
	}
	got := 0
	for got < total {
		p, err := peer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		got += len(p)
	}
	if got != total {
		t.Errorf("%d bytes instead of %d", got, total)
	}
}

func TestStreamWhosePeerNeverReadsIsDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &Options{MaxQueued: 64 << 10})
		c, _ := l.connected()
		go func() {
			for range 100 {
				c.sendText(7, strings.Repeat("x", 16<<10))
			}
			c.send(typeLookup, &lookup{id: 1})
		}()
		start := time.Now()
		if d := next[*destroy](c); d.err != errStalled.Error() {
			t.Errorf("destroy %+v", d)
		}
		if d := time.Since(start); d < 45*time.Second || d > 3*time.Minute {
			t.Errorf("after %v", d)
		}
		next[*result](c) // the connection lives on
	})
}

func TestRelayOutOfBuffersDisconnects(t *testing.T) {
	l := newLab(t, &Options{MaxBuffered: 1 << 20})
	c, _ := l.connected()
	c.sendText(7, strings.Repeat("x", 2<<20))
	if code := c.status(); code != websocket.StatusTryAgainLater {
		t.Errorf("status %v, %v", code, c.err)
	}
}

func TestStreamNobodyUsesIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		c, peer := l.connected()
		start := time.Now()
		time.Sleep(9*time.Minute + 55*time.Second)
		if d := next[*destroy](c); d.err != errUnused.Error() {
			t.Errorf("destroy %+v", d)
		}
		if d := time.Since(start); d < 10*time.Minute || d > 11*time.Minute {
			t.Errorf("after %v", d)
		}
		if _, err := peer.ReadFrame(); err == nil {
			t.Error("the peer's end is open")
		}
	})
}

func TestConnectionTheClientIgnoresIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
		c := l.dial().hello(server, true)
		c.send(typeListen, &listen{alias: 1, key: keyOf(server, true)})
		next[*listening](c)
		conns := make(chan Stream, 1)
		go func() {
			conn, err := l.dht.Connect(context.Background(), Identity{KeyPair: client}, server.Public)
			if err != nil {
				t.Errorf("connect: %v", err)
			}
			conns <- conn
		}()
		c.send(typeAccept, &number{next[*incoming](c).id})
		conn := <-conns
		next[*connection](c)
		if _, err := conn.ReadFrame(); err == nil {
			t.Error("the stream is open")
		}
	})
}

func TestUnansweredQuestionRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
		c := l.dial().hello(server, true)
		c.send(typeListen, &listen{alias: 1, key: keyOf(server, true)})
		next[*listening](c)
		start := time.Now()
		_, err := l.dht.Connect(context.Background(), Identity{KeyPair: client}, server.Public)
		if err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		next[*incoming](c)
	})
}

func TestWrongAnswersAreRefused(t *testing.T) {
	l := newLab(t, nil)
	kp := hypercrypto.NewKeyPair()
	c := l.dial().hello(kp, false)
	// A signature that is none, one of a wrong size, and an answer of another kind.
	for i, answer := range []func(id alias){
		func(id alias) { c.send(typeSignature, &signature{id: id, signature: make([]byte, 64)}) },
		func(id alias) { c.send(typeSignature, &signature{id: id, signature: make([]byte, 63)}) },
		func(id alias) { c.send(typeAccept, &number{id}) },
	} {
		c.send(typeListen, &listen{alias: alias(i), key: keyOf(kp, false)})
		answer(next[*sign](c).id)
		if on := next[*listening](c); on.addr.Port() != 0 {
			t.Errorf("answer %d: listening %+v", i, on)
		}
		next[*number](c)
	}
	c.send(typeConnect, &connect{alias: 1, key: keyOf(kp, false), remote: kp.Public})
	if d := next[*destroy](c); !strings.Contains(d.err, errNotFound.Error()) {
		t.Errorf("destroy %+v", d)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	l := newLab(t, nil)
	c, peer := l.connected()
	kp := hypercrypto.NewKeyPair()
	c.send(typeListen, &listen{alias: 1, key: keyOf(kp, true)})
	next[*listening](c)
	l.relay.Close()
	if _, err := peer.ReadFrame(); err == nil {
		t.Error("the peer's end is open")
	}
	c.status()
	if _, res, err := l.dialWS(); err == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a closed relay takes clients: %v", err)
	}
	if n := l.relay.Clients(); n != 0 {
		t.Errorf("%d clients", n)
	}
	_, err := l.dht.Connect(t.Context(), Identity{KeyPair: kp}, kp.Public)
	if !errors.Is(err, errNotFound) {
		t.Errorf("the server is there: %v", err)
	}
}

func TestPlainRequestIsRefused(t *testing.T) {
	l := newLab(t, nil)
	tr := &http.Transport{DialContext: l.net.dial, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr}).Get("http://relay/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %d", res.StatusCode)
	}
}
