package dhtrelay

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

func text(m *data) string {
	var b bytes.Buffer
	for p := range m.pieces.all() {
		b.Write(p)
	}
	return b.String()
}

// echo sends back the messages of a stream until it ends, and then ends it.
func echo(t *testing.T, c Stream) {
	for {
		p, err := c.ReadFrame()
		if err == io.EOF {
			if err := c.CloseWrite(); err != nil {
				t.Errorf("end: %v", err)
			}
			return
		}
		if err != nil {
			t.Errorf("read: %v", err)
			return
		}
		if _, err := c.Write(p); err != nil {
			t.Errorf("write: %v", err)
			return
		}
	}
}

func TestCustodialClientConnects(t *testing.T) {
	l := newLab(t, nil)
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	srv := l.listen(server)
	c := l.dial().hello(client, true)
	c.send(typeConnect, &connect{alias: 7, key: keyOf(client, true), remote: server.Public})
	peer := l.accept(srv)
	if peer.RemotePublicKey() != client.Public {
		t.Errorf("the server sees %s", peer.RemotePublicKey())
	}
	o := next[*open](c)
	if o.remote != 7 || o.from.hash == nil || *o.from.hash != peer.HandshakeHash() {
		t.Errorf("open %+v", o)
	}
	c.sendText(7, "one", "", "two")
	for _, want := range []string{"one", "two"} {
		if p, err := peer.ReadFrame(); err != nil || string(p) != want {
			t.Fatalf("the server got %q, %v", p, err)
		}
	}
	go echo(t, peer)
	c.sendText(7, "three")
	if d := next[*data](c); d.alias != o.alias || text(d) != "three" {
		t.Errorf("the client got %q on %d", text(d), d.alias)
	}
	c.send(typeEnd, &number{7})
	if n := next[*number](c); n.alias != o.alias {
		t.Errorf("end of %d", n.alias)
	}
}

func TestCustodialClientListens(t *testing.T) {
	l := newLab(t, nil)
	server, client, stranger := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	c := l.dial().hello(server, true)
	c.send(typeListen, &listen{alias: 3, key: keyOf(server, true)})
	on := next[*listening](c)
	if on.remote != 3 || on.addr.String() != "5.6.7.8:49737" {
		t.Errorf("listening %+v", on)
	}

	refused := make(chan error, 1)
	go func() {
		_, err := l.dht.Connect(context.Background(), Identity{KeyPair: stranger}, server.Public)
		refused <- err
	}()
	q := next[*incoming](c)
	if q.server != on.alias || q.remote != stranger.Public || !bytes.Equal(q.payload, []byte{1, 0}) {
		t.Errorf("incoming %+v", q)
	}
	c.send(typeDeny, &number{q.id})
	if err := <-refused; err == nil {
		t.Error("a denied stranger got in")
	}

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
	defer conn.Close()
	got := next[*connection](c)
	if got.server != on.alias || got.remote != client.Public || got.from.hash == nil || *got.from.hash != conn.HandshakeHash() {
		t.Errorf("connection %+v", got)
	}
	c.send(typeConnected, &connected{alias: 11, remote: got.alias})
	c.sendText(11, "hi")
	if p, err := conn.ReadFrame(); err != nil || string(p) != "hi" {
		t.Fatalf("the client got %q, %v", p, err)
	}
	if _, err := conn.Write([]byte("ho")); err != nil {
		t.Fatal(err)
	}
	if d := next[*data](c); d.alias != got.alias || text(d) != "ho" {
		t.Errorf("the server got %q", text(d))
	}

	c.send(typeClose, &number{3})
	if n := next[*number](c); n.alias != on.alias {
		t.Errorf("closed %d", n.alias)
	}
	c.sendText(11, "after close")
	if p, err := conn.ReadFrame(); err != nil || string(p) != "after close" {
		t.Errorf("a stream did not outlive its server: %q, %v", p, err)
	}
}

// overRelay is a stream of a client that keeps its keys: what the secret stream
// writes goes out as data.
type overRelay struct {
	c       *wsClient
	mine    alias
	relay   alias
	pending []byte
}

func (o *overRelay) Write(p []byte) (int, error) {
	o.c.sendText(o.mine, string(p))
	return len(p), nil
}

func (o *overRelay) Read(p []byte) (int, error) {
	for len(o.pending) == 0 {
		r := <-o.c.in
		d, ok := r.m.(*data)
		if !ok || d.alias != o.relay {
			return 0, io.EOF
		}
		o.pending = []byte(text(d))
	}
	n := copy(p, o.pending)
	o.pending = o.pending[n:]
	return n, nil
}

func (o *overRelay) Close() error {
	o.c.send(typeDestroy, &destroy{paired: true, alias: o.mine})
	return nil
}

func (o *overRelay) secret(h *localHandshake, own hypercrypto.PublicKey, initiator bool) *secretstream.Conn {
	o.c.t.Helper()
	s, err := secretstream.New(o, secretstream.Session{Initiator: initiator, TX: h.keys.TX, RX: h.keys.RX, HandshakeHash: h.keys.Hash,
		PublicKey: own, RemotePublicKey: h.keys.Remote}, nil)
	if err != nil {
		o.c.t.Fatal(err)
	}
	return s
}

func TestClientThatKeepsItsKeyConnects(t *testing.T) {
	l := newLab(t, nil)
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	srv := l.listen(server)
	c := l.dial().hello(client, false)
	c.send(typeConnect, &connect{alias: 7, key: keyOf(client, false), remote: server.Public})
	h, err := newLocalHandshake(client, true, server.Public)
	if err != nil {
		t.Fatal(err)
	}
	q := next[*noiseSend](c)
	if !q.initiator || q.stream != 7 {
		t.Errorf("noise send %+v", q)
	}
	m1, _ := h.Send(t.Context(), q.payload)
	c.send(typeNoiseReply, &noiseReply{initiator: true, id: q.id, payload: m1})
	r := next[*noiseReceive](c)
	payload, err := h.Receive(t.Context(), r.message)
	if err != nil || !r.initiator || r.id != q.id {
		t.Fatalf("noise receive %+v: %v", r, err)
	}
	c.send(typeNoiseReply, &noiseReply{initiator: true, complete: true, id: r.id, payload: payload, holepunchSecret: h.HolepunchSecret()})
	o := next[*open](c)
	if o.from.hash != nil || o.from.id != q.id || o.remote != 7 {
		t.Errorf("open %+v", o)
	}
	peer := l.accept(srv)
	go echo(t, peer)
	conn := (&overRelay{c: c, mine: 7, relay: o.alias}).secret(h, client.Public, true)
	defer conn.Close()
	for _, want := range []string{"a", "bc"} {
		if _, err := conn.Write([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if p, err := conn.ReadFrame(); err != nil || string(p) != want {
			t.Fatalf("echo of %q is %q, %v", want, p, err)
		}
	}
	c.send(typeEnd, &number{7})
	if n := next[*number](c); n.alias != o.alias {
		t.Errorf("end of %d", n.alias)
	}
}

// signFor answers a question for a signature as the reference client does.
func (c *wsClient) signFor(kp *hypercrypto.KeyPair, target, ns [32]byte, signee alias) {
	c.t.Helper()
	q := next[*sign](c)
	if q.signee != signee {
		c.t.Errorf("signature for %d instead of %d", q.signee, signee)
	}
	peer := appendAddresses(bytes.Clone(kp.Public[:]), q.relays)
	hash := hypercrypto.Sum(target[:], q.node, q.token[:], peer)
	sig := kp.Sign(append(ns[:], hash[:]...))
	c.send(typeSignature, &signature{id: q.id, signature: sig[:]})
}

func TestClientThatKeepsItsKeyListens(t *testing.T) {
	l := newLab(t, nil)
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	c := l.dial().hello(server, false)
	c.send(typeListen, &listen{alias: 5, key: keyOf(server, false)})
	c.signFor(server, hypercrypto.Sum(server.Public[:]), nsAnnounce, 5)
	on := next[*listening](c)

	for _, welcome := range []bool{false, true} {
		conns := make(chan Stream, 1)
		go func() {
			conn, err := l.dht.Connect(context.Background(), Identity{KeyPair: client}, server.Public)
			if welcome != (err == nil) {
				t.Errorf("connect: %v", err)
			}
			conns <- conn
		}()
		h, err := newLocalHandshake(server, false, hypercrypto.PublicKey{})
		if err != nil {
			t.Fatal(err)
		}
		q := next[*noiseReceive](c)
		payload, err := h.Receive(t.Context(), q.message)
		if err != nil || q.initiator || q.server != on.alias {
			t.Fatalf("noise receive %+v: %v", q, err)
		}
		if !welcome {
			c.send(typeNoiseReply, &noiseReply{id: q.id, remote: h.RemotePublicKey()})
			<-conns
			continue
		}
		c.send(typeNoiseReply, &noiseReply{id: q.id, payload: payload, remote: h.RemotePublicKey()})
		s := next[*noiseSend](c)
		m2, _ := h.Send(t.Context(), s.payload)
		c.send(typeNoiseReply, &noiseReply{complete: true, id: s.id, payload: m2, holepunchSecret: h.HolepunchSecret()})
		got := next[*connection](c)
		if got.from.hash != nil || got.from.id != q.id || got.remote != client.Public || got.server != on.alias {
			t.Errorf("connection %+v", got)
		}
		c.send(typeConnected, &connected{alias: 6, remote: got.alias})
		peer := <-conns
		defer peer.Close()
		go func() {
			if _, err := peer.Write([]byte("hello")); err != nil {
				t.Errorf("write: %v", err)
			}
		}()
		conn := (&overRelay{c: c, mine: 6, relay: got.alias}).secret(h, server.Public, false)
		defer conn.Close()
		if p, err := conn.ReadFrame(); err != nil || string(p) != "hello" {
			t.Errorf("got %q, %v", p, err)
		}
	}
}

func TestTopicsAreAnnouncedAndFound(t *testing.T) {
	l := newLab(t, nil)
	topic := [32]byte{42}
	for _, custodial := range []bool{true, false} {
		kp := hypercrypto.NewKeyPair()
		c := l.dial().hello(kp, custodial)
		find := func() (found bool) {
			c.send(typeLookup, &lookup{id: 1, topic: topic})
			m := next[*result](c)
			var r Reply
			if err := unmarshal(m.data, &r); err != nil || m.id != 1 {
				t.Fatalf("result %+v: %v", m, err)
			}
			for _, p := range r.Peers {
				found = found || p.PublicKey == kp.Public
			}
			if n := next[*number](c); n.alias != 1 {
				t.Errorf("finished %d", n.alias)
			}
			return found
		}
		run := func(typ int, ns [32]byte, id alias) {
			c.send(typ, &announce{id: id, topic: topic, key: keyOf(kp, custodial)})
			if typ == typeAnnounce {
				next[*result](c)
			}
			if !custodial {
				c.signFor(kp, topic, ns, id)
			}
			if n := next[*number](c); n.alias != id {
				t.Errorf("finished %d", n.alias)
			}
		}
		run(typeAnnounce, nsAnnounce, 2)
		if !find() {
			t.Errorf("custodial %v: not found after announce", custodial)
		}
		run(typeUnannounce, nsUnannounce, 3)
		if find() {
			t.Errorf("custodial %v: found after unannounce", custodial)
		}
	}
}

func TestFailedConnectIsTold(t *testing.T) {
	l := newLab(t, nil)
	kp := hypercrypto.NewKeyPair()
	c := l.dial().hello(kp, true)
	c.send(typeConnect, &connect{alias: 7, key: keyOf(kp, true), remote: kp.Public})
	if d := next[*destroy](c); d.paired || d.alias != 7 || d.err != errNotFound.Error() {
		t.Errorf("destroy %+v", d)
	}
	other := hypercrypto.NewKeyPair()
	k := keyOf(kp, true)
	k.public = other.Public
	c.send(typeConnect, &connect{alias: 8, key: k, remote: kp.Public})
	if d := next[*destroy](c); d.paired || d.alias != 8 || d.err == "" {
		t.Errorf("keys that do not belong together: %+v", d)
	}
}

func TestBrokenStreamIsTold(t *testing.T) {
	l := newLab(t, nil)
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	srv := l.listen(server)
	c := l.dial().hello(client, true)
	c.send(typeConnect, &connect{alias: 7, key: keyOf(client, true), remote: server.Public})
	o := next[*open](c)
	l.accept(srv).Close()
	if d := next[*destroy](c); !d.paired || d.alias != o.alias || d.err == "" {
		t.Errorf("destroy %+v", d)
	}
}

func TestDestroyedStreamIsClosed(t *testing.T) {
	l := newLab(t, nil)
	server, client := hypercrypto.NewKeyPair(), hypercrypto.NewKeyPair()
	srv := l.listen(server)
	c := l.dial().hello(client, true)
	c.send(typeConnect, &connect{alias: 7, key: keyOf(client, true), remote: server.Public})
	next[*open](c)
	peer := l.accept(srv)
	c.send(typeDestroy, &destroy{paired: true, alias: 7, err: "enough"})
	if _, err := peer.ReadFrame(); err == nil || err == io.EOF {
		t.Errorf("the peer reads %v", err)
	}
	// The number is free again.
	c.send(typeConnect, &connect{alias: 7, key: keyOf(client, true), remote: server.Public})
	next[*open](c)
	l.accept(srv)
}

// waitFor waits for what has no event of its own.
func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not happen")
		}
	}
}
