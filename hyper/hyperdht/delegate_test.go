package hyperdht

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
	"github.com/tradle/cloudpal/hyper/internal/noise"
	"github.com/tradle/cloudpal/hyper/internal/simnet"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// owner has the key pair that a node acts for, and answers after a while.
type owner struct {
	*hypercrypto.KeyPair
	target  [32]byte
	remote  hypercrypto.PublicKey // of an initiator
	refuses bool
}

const ownerDelay = 50 * time.Millisecond

func (o *owner) PublicKey() hypercrypto.PublicKey { return o.Public }

func (o *owner) Handshake(initiator bool) Handshake {
	h, err := noise.NewIK(noise.Config{Initiator: initiator, Static: o.KeyPair, Remote: &o.remote, Prologue: nsHandshake[:]})
	if err != nil {
		panic(err)
	}
	return &ownerHandshake{o: o, initiator: initiator, state: h}
}

func (o *owner) Sign(_ context.Context, r SignRequest) ([64]byte, error) {
	time.Sleep(ownerDelay)
	if r.Target != o.target {
		return [64]byte{}, errors.New("not that target")
	}
	a := announcement{peer: &Peer{PublicKey: o.Public, Relays: r.Relays}}
	ns := nsAnnounce
	if r.Unannounce {
		ns = nsUnannounce
	}
	target, node := dhtrpc.ID(r.Target), dhtrpc.ID(r.Node)
	return o.KeyPair.Sign(a.signable(&ns, &target, &node, &r.Token)), nil
}

type ownerHandshake struct {
	o         *owner
	initiator bool
	state     *noise.Handshake
}

func (h *ownerHandshake) Send(_ context.Context, payload []byte) ([]byte, error) {
	time.Sleep(ownerDelay)
	return h.state.Write(nil, payload)
}

func (h *ownerHandshake) Receive(_ context.Context, message []byte) ([]byte, error) {
	time.Sleep(ownerDelay)
	p, err := h.state.Read(nil, message)
	if err == nil && h.o.refuses {
		err = errors.New("no")
	}
	return p, err
}

func (h *ownerHandshake) RemotePublicKey() hypercrypto.PublicKey {
	k, _ := h.state.RemotePublicKey()
	return k
}

func (h *ownerHandshake) HolepunchSecret() [32]byte {
	hash := h.state.Keys().Hash
	return hypercrypto.KeyedSum(hash[:], nsHolepunch[:])
}

func (h *ownerHandshake) RemoteStreamID() [32]byte {
	hash, ns := h.state.Keys().Hash, hypercrypto.Namespace("hyperswarm/secret-stream", 0)
	return hypercrypto.KeyedSum(hash[:], ns[:])
}

// secret is the owner's end of a connection.
func (o *owner) secret(t *testing.T, c *RawConn) *secretstream.Conn {
	t.Helper()
	h := c.Handshake().(*ownerHandshake)
	k := h.state.Keys()
	s, err := secretstream.New(c, secretstream.Session{Initiator: h.initiator, TX: k.TX, RX: k.RX, HandshakeHash: k.Hash,
		PublicKey: o.Public, RemotePublicKey: k.Remote}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newOwner() *owner {
	kp := hypercrypto.NewKeyPair()
	return &owner{KeyPair: kp, target: [32]byte(targetOf(kp.Public))}
}

func (w *world) listenFor(d *DHT, o *owner) *RawServer {
	w.t.Helper()
	s, err := d.ListenFor(w.t.Context(), o, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for {
			c, err := s.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				conn := o.secret(w.t, c)
				defer conn.Close()
				for {
					m, err := conn.ReadFrame()
					if err == io.EOF && conn.CloseWrite() == nil {
						_ = c.Linger(w.t.Context())
					}
					if err != nil {
						return
					}
					if _, err := conn.Write(m); err != nil {
						return
					}
				}
			}()
		}
	}()
	return s
}

// A delegate's connections take the same paths as the node's own, with only one
// of the ends or both acting for somebody else.
func TestDelegatesConnect(t *testing.T) {
	for name, nats := range map[string][2]simnet.NAT{"full cone": {simnet.FullCone, simnet.FullCone}, "cone": {simnet.Cone, simnet.Cone},
		"symmetric": {simnet.Cone, simnet.Symmetric}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 12, func(w *world) {
				sd, cd := w.pair(nats[0], nats[1])
				own := w.echo(sd, nil)
				theirs := newOwner()
				srv := w.listenFor(sd, theirs)

				// The client's key is elsewhere.
				for _, server := range []hypercrypto.PublicKey{own.PublicKey(), theirs.Public} {
					client := newOwner()
					client.remote = server
					c := punch(w, func() (*RawConn, error) { return cd.ConnectFor(w.t.Context(), client, server, nil) })
					if c.RemotePublicKey() != server {
						w.t.Errorf("connected to %v", c.RemotePublicKey())
					}
					conn := client.secret(w.t, c)
					if _, err := conn.Write([]byte("hello")); err != nil {
						w.t.Fatal(err)
					}
					if m, err := conn.ReadFrame(); err != nil || string(m) != "hello" {
						w.t.Fatalf("echo %q, %v", m, err)
					}
					conn.Close()
					time.Sleep(time.Minute) // random punches have to wait for one another
				}
				// The server's is.
				c := punch(w, func() (*Conn, error) { return cd.Connect(w.t.Context(), theirs.Public, nil) })
				w.check(c)
				if err := c.CloseWrite(); err != nil {
					w.t.Fatal(err)
				}
				if _, err := c.ReadFrame(); err != io.EOF {
					w.t.Errorf("after the end: %v", err)
				}
				if err := c.Linger(w.t.Context()); err != nil {
					w.t.Error(err)
				}
				c.Close()
				if err := srv.Close(); err != nil {
					w.t.Error(err)
				}
			})
		})
	}
}

func TestDelegateRefuses(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		theirs := newOwner()
		w.listenFor(sd, theirs)
		theirs.refuses = true
		if c, err := cd.Connect(w.t.Context(), theirs.Public, nil); err == nil {
			c.Close()
			w.t.Error("connected")
		}
		client := newOwner()
		client.refuses, client.remote = true, w.echo(sd, nil).PublicKey()
		if c, err := cd.ConnectFor(w.t.Context(), client, client.remote, nil); err == nil {
			c.Close()
			w.t.Error("connected")
		}
	})
}

func TestAdmitMayWaitAndRefuse(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		sd, cd := w.pair(simnet.Cone, simnet.Cone)
		var asked, said int
		admit := func(_ context.Context, remote hypercrypto.PublicKey, payload []byte) bool {
			time.Sleep(2 * time.Second)
			asked++
			if _, err := decodePayload(payload); err == nil && remote == cd.KeyPair().Public {
				said++
			}
			return asked > 1
		}
		s := w.echo(sd, &ServerOptions{Admit: admit})
		if c, err := cd.Connect(w.t.Context(), s.PublicKey(), nil); err == nil {
			c.Close()
			w.t.Error("a refused peer is connected")
		}
		c, err := cd.Connect(w.t.Context(), s.PublicKey(), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		w.check(c)
		c.Close()
		if asked != 2 || said != 2 {
			w.t.Errorf("asked %d times, well %d times", asked, said)
		}
	})
}

func TestDelegatesAnnounce(t *testing.T) {
	inWorld(t, 12, func(w *world) {
		d := w.dhts[3]
		topic := Topic{7}
		o := newOwner()
		o.target = topic
		found := func() (n int) {
			for r, err := range w.dhts[8].Lookup(w.t.Context(), topic, nil) {
				if err != nil {
					w.t.Fatal(err)
				}
				if r.ID == nil || r.Token == nil {
					w.t.Errorf("result of %v without id or token", r.From)
				}
				for _, p := range r.Peers {
					if p.PublicKey == o.Public {
						n++
					}
				}
			}
			return n
		}
		stored, err := d.AnnounceFor(w.t.Context(), topic, o, nil)
		if n := found(); err != nil || stored == 0 || n == 0 {
			w.t.Errorf("stored at %d, found %d times, %v", stored, n, err)
		}
		if err := d.UnannounceFor(w.t.Context(), topic, o, nil); err != nil {
			w.t.Error(err)
		}
		if n := found(); n != 0 {
			w.t.Errorf("found %d times after unannounce", n)
		}
		o.target = [32]byte{8} // it refuses to sign
		if _, err := d.AnnounceFor(w.t.Context(), topic, o, nil); err == nil {
			w.t.Error("announced without a signature")
		}
	})
}
