package dhtrelay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"sync"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdht"
	"github.com/tradle/cloudpal/hyper/internal/noise"
	"github.com/tradle/cloudpal/hyper/secretstream"
)

// fakeDHT is a network in memory: real handshakes and encryption, no packets.
type fakeDHT struct {
	t *testing.T

	mu      sync.Mutex
	servers map[hypercrypto.PublicKey]*fakeServer
	topics  map[[32]byte][]hyperdht.Peer
	open    int // streams not closed
}

func newFakeDHT(t *testing.T) *fakeDHT {
	return &fakeDHT{t: t, servers: map[hypercrypto.PublicKey]*fakeServer{}, topics: map[[32]byte][]hyperdht.Peer{}}
}

var (
	nsHandshake  = hypercrypto.Namespace("hyperswarm/dht", 0)
	nsHolepunch  = hypercrypto.Namespace("hyperswarm/dht", 1)
	nsAnnounce   = hypercrypto.Namespace("hyperswarm/dht", 4)
	nsUnannounce = hypercrypto.Namespace("hyperswarm/dht", 5)

	fakeToken = [32]byte{1, 2, 3}
	fakeNode  = Contact{ID: &[32]byte{4, 5, 6}, Addr: netip.MustParseAddrPort("1.2.3.4:5")}
	fakeRelay = netip.MustParseAddrPort("9.8.7.6:5")
)

// localHandshake is a handshake run by the fake itself.
type localHandshake struct {
	state *noise.Handshake
	keys  *noise.Keys
}

func newLocalHandshake(kp *hypercrypto.KeyPair, initiator bool, remote hypercrypto.PublicKey) (*localHandshake, error) {
	h, err := noise.NewIK(noise.Config{Initiator: initiator, Static: kp, Remote: &remote, Prologue: nsHandshake[:]})
	return &localHandshake{state: h}, err
}

func (h *localHandshake) Send(_ context.Context, payload []byte) ([]byte, error) {
	return h.after(h.state.Write(nil, payload))
}

func (h *localHandshake) Receive(_ context.Context, message []byte) ([]byte, error) {
	return h.after(h.state.Read(nil, message))
}

func (h *localHandshake) after(b []byte, err error) ([]byte, error) {
	h.keys = h.state.Keys()
	return b, err
}

func (h *localHandshake) RemotePublicKey() hypercrypto.PublicKey {
	k, _ := h.state.RemotePublicKey()
	return k
}

func (h *localHandshake) HolepunchSecret() [32]byte {
	return hypercrypto.KeyedSum(h.keys.Hash[:], nsHolepunch[:])
}

func (h *localHandshake) RemoteStreamID() [32]byte { panic("asked of nobody") }

func (i *Identity) handshake(initiator bool, remote hypercrypto.PublicKey) (hyperdht.Handshake, error) {
	if i.Delegate != nil {
		return i.Delegate.Handshake(initiator), nil
	}
	return newLocalHandshake(i.KeyPair, initiator, remote)
}

// stream returns one end of a connection as a node hands it out.
func (d *fakeDHT) stream(key Identity, h hyperdht.Handshake, initiator bool, end *pipeEnd) Stream {
	d.mu.Lock()
	d.open++
	d.mu.Unlock()
	end.onClose = func() {
		d.mu.Lock()
		d.open--
		d.mu.Unlock()
	}
	local, ok := h.(*localHandshake)
	if !ok {
		return &rawEnd{pipeEnd: end, remote: h.RemotePublicKey()}
	}
	c, err := secretstream.New(end, secretstream.Session{Initiator: initiator, TX: local.keys.TX, RX: local.keys.RX,
		HandshakeHash: local.keys.Hash, PublicKey: key.PublicKey(), RemotePublicKey: local.keys.Remote}, nil)
	if err != nil {
		panic(err)
	}
	return secretEnd{c}
}

// secretEnd is a connection of this side's own.
type secretEnd struct{ *secretstream.Conn }

func (secretEnd) Linger(context.Context) error { return nil }

func (*pipeEnd) Linger(context.Context) error { return nil }

func targetOf(key Identity) [32]byte {
	public := key.PublicKey()
	return hypercrypto.Sum(public[:])
}

var errNotFound = errors.New("peer not found")

func (d *fakeDHT) Connect(ctx context.Context, key Identity, remote hypercrypto.PublicKey) (Stream, error) {
	d.mu.Lock()
	srv := d.servers[remote]
	d.mu.Unlock()
	if srv == nil {
		return nil, errNotFound
	}
	client, err := key.handshake(true, remote)
	if err != nil {
		return nil, err
	}
	server, err := srv.key.handshake(false, hypercrypto.PublicKey{})
	if err != nil {
		return nil, err
	}
	m1, err := client.Send(ctx, []byte{1, 0})
	if err != nil {
		return nil, fmt.Errorf("client sends: %w", err)
	}
	payload, err := server.Receive(ctx, m1)
	if err != nil {
		return nil, fmt.Errorf("server receives: %w", err)
	}
	if !bytes.Equal(payload, []byte{1, 0}) {
		d.t.Errorf("server got payload %x", payload)
	}
	if srv.admit != nil && srv.key.KeyPair != nil && !srv.admit(ctx, server.RemotePublicKey(), payload) {
		return nil, errors.New("refused")
	}
	m2, err := server.Send(ctx, []byte{1, 0, 0, 0})
	if err != nil {
		return nil, fmt.Errorf("server sends: %w", err)
	}
	payload, err = client.Receive(ctx, m2)
	if err != nil {
		return nil, fmt.Errorf("client receives: %w", err)
	}
	if !bytes.Equal(payload, []byte{1, 0, 0, 0}) {
		d.t.Errorf("client got payload %x", payload)
	}
	if client.HolepunchSecret() != server.HolepunchSecret() {
		d.t.Error("hole punch secrets differ")
	}
	if client.RemotePublicKey() != remote || server.RemotePublicKey() != key.PublicKey() {
		d.t.Error("handshake with somebody else")
	}
	a, b := pipe()
	theirs := d.stream(srv.key, server, false, b)
	select {
	case srv.incoming <- accepted{theirs, server}:
		select {
		case <-srv.closed:
			srv.drain()
		default:
		}
		return d.stream(key, client, true, a), nil
	case <-srv.closed:
		theirs.Close()
		return nil, errNotFound
	}
}

type accepted struct {
	Stream
	h hyperdht.Handshake
}

type fakeServer struct {
	dht      *fakeDHT
	key      Identity
	admit    AdmitFunc
	incoming chan accepted
	closed   chan struct{}
	once     sync.Once
}

func (d *fakeDHT) Listen(ctx context.Context, key Identity, admit AdmitFunc) (Server, error) {
	if err := d.announce(ctx, targetOf(key), key, true); err != nil {
		return nil, err
	}
	srv := &fakeServer{dht: d, key: key, admit: admit, incoming: make(chan accepted, 64), closed: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.servers[key.PublicKey()] != nil {
		return nil, errors.New("key pair is in use")
	}
	d.servers[key.PublicKey()] = srv
	return srv, nil
}

func (s *fakeServer) Accept(ctx context.Context) (Stream, hyperdht.Handshake, error) {
	select {
	case a := <-s.incoming:
		return a.Stream, a.h, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-s.closed:
		return nil, nil, io.ErrClosedPipe
	}
}

func (s *fakeServer) Addr() netip.AddrPort { return netip.MustParseAddrPort("5.6.7.8:49737") }

func (s *fakeServer) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.dht.mu.Lock()
		delete(s.dht.servers, s.key.PublicKey())
		s.dht.mu.Unlock()
		s.drain()
	})
	return nil
}

// drain closes what nobody accepts any more.
func (s *fakeServer) drain() {
	for {
		select {
		case a := <-s.incoming:
			a.Close()
			continue
		default:
		}
		return
	}
}

// announce checks a signature as a storing node does.
func (d *fakeDHT) announce(ctx context.Context, target [32]byte, key Identity, put bool) error {
	ns, relays, public := nsAnnounce, []netip.AddrPort{fakeRelay}, key.PublicKey()
	if !put {
		ns, relays = nsUnannounce, nil
	}
	peer := appendAddresses(bytes.Clone(public[:]), relays)
	hash := hypercrypto.Sum(target[:], fakeNode.ID[:], fakeToken[:], peer)
	signable := append(ns[:], hash[:]...)
	var sig [64]byte
	var err error
	if key.KeyPair != nil {
		sig = key.KeyPair.Sign(signable)
	} else {
		sig, err = key.Delegate.Sign(ctx, hyperdht.SignRequest{Unannounce: !put, Target: target, Token: fakeToken, Node: *fakeNode.ID, Relays: relays})
	}
	if err != nil {
		return err
	}
	if !ed25519.Verify(public[:], signable, sig[:]) {
		return errors.New("wrong signature")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var others []hyperdht.Peer
	for _, p := range d.topics[target] {
		if p.PublicKey != key.PublicKey() {
			others = append(others, p)
		}
	}
	if put {
		others = append(others, hyperdht.Peer{PublicKey: key.PublicKey(), Relays: relays})
	}
	d.topics[target] = others
	return nil
}

func (d *fakeDHT) reply(topic [32]byte) Reply {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Reply{Token: fakeToken, From: fakeNode, To: Contact{Addr: fakeRelay}, Peers: d.topics[topic]}
}

func (d *fakeDHT) Lookup(ctx context.Context, topic [32]byte) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) { yield(d.reply(topic), ctx.Err()) }
}

func (d *fakeDHT) Announce(ctx context.Context, topic [32]byte, key Identity) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		if yield(d.reply(topic), nil) {
			if err := d.announce(ctx, topic, key, true); err != nil {
				yield(Reply{}, err)
			}
		}
	}
}

func (d *fakeDHT) Unannounce(ctx context.Context, topic [32]byte, key Identity) error {
	return d.announce(ctx, topic, key, false)
}

// pipeSize is how many bytes a stream holds that nobody reads.
const pipeSize = 64 << 10

// half is one direction of a byte stream.
type half struct {
	mu     sync.Mutex
	cond   sync.Cond
	buf    []byte
	ended  bool
	broken bool
}

type pipeEnd struct {
	in, out *half
	once    sync.Once
	onClose func()
}

func pipe() (a, b *pipeEnd) {
	x, y := new(half), new(half)
	x.cond.L, y.cond.L = &x.mu, &y.mu
	return &pipeEnd{in: x, out: y}, &pipeEnd{in: y, out: x}
}

func (e *pipeEnd) Read(p []byte) (int, error) {
	h := e.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.buf) == 0 && !h.ended && !h.broken {
		h.cond.Wait()
	}
	if h.broken {
		return 0, io.ErrClosedPipe
	}
	if len(h.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	h.cond.Broadcast()
	return n, nil
}

func (e *pipeEnd) Write(p []byte) (n int, err error) {
	h := e.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		for len(h.buf) >= pipeSize && !h.broken {
			h.cond.Wait()
		}
		if h.broken || h.ended {
			return n, io.ErrClosedPipe
		}
		m := min(len(p), pipeSize-len(h.buf))
		h.buf = append(h.buf, p[:m]...)
		p, n = p[m:], n+m
		h.cond.Broadcast()
	}
	return n, nil
}

func (e *pipeEnd) CloseWrite() error {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.ended = true
	e.out.cond.Broadcast()
	return nil
}

// Close breaks both directions, unless this one has ended and only waits to be
// read.
func (e *pipeEnd) Close() error {
	e.once.Do(func() {
		for _, h := range []*half{e.in, e.out} {
			h.mu.Lock()
			h.broken = h.broken || !h.ended
			h.cond.Broadcast()
			h.mu.Unlock()
		}
		if e.onClose != nil {
			e.onClose()
		}
	})
	return nil
}

// rawEnd is the connection of a client that keeps its keys.
type rawEnd struct {
	*pipeEnd
	remote hypercrypto.PublicKey
	buf    [32 << 10]byte
}

func (s *rawEnd) ReadFrame() ([]byte, error) {
	n, err := s.Read(s.buf[:])
	return s.buf[:n], err
}

func (s *rawEnd) HandshakeHash() [64]byte { panic("asked of a raw stream") }

func (s *rawEnd) RemotePublicKey() hypercrypto.PublicKey { return s.remote }
