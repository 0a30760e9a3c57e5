package autobase

import (
	"context"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
	"github.com/tradle/cloudpal/hyper/protomux"
)

const (
	wakeupProtocol = "wakeup"
	// maxHinted bounds the logs that are opened because a peer named them and
	// nobody else did.
	maxHinted = 256
	// maxAnnounced bounds the logs in one announcement that are looked at.
	maxAnnounced = 1024
	keepAlive    = 5 * time.Second
)

// Messages of the wakeup channel.
const (
	wakeupLookup = iota
	wakeupAnnounce
	wakeupInfo
)

// wakeupPeer is one connection. Peers tell each other which logs have nodes that
// are not part of the signed state yet.
type wakeupPeer struct {
	b *Base
	m *protomux.Mux

	mu    sync.Mutex // guards what follows
	ch    *protomux.Channel
	ended bool // the base is closed
	open  bool // the peer has shown that it knows the base
	told  map[hypercrypto.Key]*told
	asks  bool // wants an announcement
}

// hints are logs that peers named and that were not looked at yet.
type hints struct {
	mu   sync.Mutex
	list []oplog.Ref
}

// Replicate exchanges the logs and views of the base, and everything else in its
// store that the peer asks for, on a connection until it ends or ctx does. The
// connection is closed when it returns.
func (b *Base) Replicate(ctx context.Context, stream protomux.Stream) error {
	m := protomux.New(stream, &protomux.Options{KeepAlive: keepAlive, Log: b.log})
	if err := b.Attach(m); err != nil {
		m.Close()
		return err
	}
	return b.store.ReplicateMux(ctx, m)
}

// Attach tells the peer on a connection about the base, and hears from it, whenever
// the peer opens its end: some hear of the base only later, or put it away for a
// while. The logs themselves are exchanged by the store, whose ReplicateMux the
// caller has to run on the same connection, after this call.
func (b *Base) Attach(m *protomux.Mux) error {
	p := &wakeupPeer{b: b, m: m, told: make(map[hypercrypto.Key]*told)}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if err := p.connect(); err != nil {
		return err
	}
	dk := b.e.lineage.base.Discovery()
	m.Pair(wakeupProtocol, dk[:], func([]byte) { _ = p.connect() }) // fails when the connection has ended
	b.peers[p] = struct{}{}
	return nil
}

// connect opens the channel, unless it is open or waits for the peer. It does not
// wait for the base, which may wait for the peer.
func (p *wakeupPeer) connect() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.ch != nil && !p.ch.Closed() {
		return nil
	}
	key := p.b.e.lineage.base
	dk := key.Discovery()
	s := p.m.Stream()
	own := wakeupCapability(s, key, s.IsInitiator())
	hs := compact.AppendUint(nil, 0)
	hs = append(hs, own[:]...)
	hs = compact.AppendUint(hs, 1)
	ch, err := p.m.Open(protomux.ChannelOptions{
		Protocol: wakeupProtocol, ID: dk[:], Handshake: hs,
		OnOpen: p.onOpen,
		Messages: []func(*protomux.Channel, []byte) error{
			wakeupLookup:   p.onLookup,
			wakeupAnnounce: p.onAnnounce,
			wakeupInfo:     func(*protomux.Channel, []byte) error { return nil },
		},
		OnClose: p.onClose,
	})
	if err != nil {
		return err
	}
	p.ch, p.open = ch, false
	clear(p.told)
	return nil
}

// onClose notes that the peer does not listen. The base may be busy; the peer must
// not wait for it.
func (p *wakeupPeer) onClose(c *protomux.Channel, _ bool) {
	p.mu.Lock()
	if c == p.ch {
		p.open = false
	}
	p.mu.Unlock()
	p.b.poke()
}

// end says that the base is closed.
func (p *wakeupPeer) end() {
	dk := p.b.e.lineage.base.Discovery()
	p.m.Unpair(wakeupProtocol, dk[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.open = true, false
	p.ch.Close()
}

// wakeupCapability proves that its sender knows the key of the base.
func wakeupCapability(s protomux.Stream, key hypercrypto.Key, initiator bool) hypercrypto.Hash {
	ns := hypercrypto.Namespace("wakeup", 1)
	if initiator {
		ns = hypercrypto.Namespace("wakeup", 0)
	}
	hash := s.HandshakeHash()
	return hypercrypto.Sum(ns[:], key[:], hash[:])
}

func (p *wakeupPeer) onOpen(c *protomux.Channel, handshake []byte) error {
	r := compact.NewReader(handshake)
	r.Uint()
	proof := r.Fixed32()
	s := c.Mux().Stream()
	if r.Err() != nil || proof != wakeupCapability(s, p.b.e.lineage.base, !s.IsInitiator()) {
		c.Close()
		return nil
	}
	p.mu.Lock()
	if p.ended || c != p.ch {
		p.mu.Unlock()
		return nil
	}
	p.open, p.asks = true, true
	p.mu.Unlock()
	c.Send(wakeupLookup, compact.AppendUint(nil, 0))
	p.b.poke()
	return nil
}

func (p *wakeupPeer) onLookup(*protomux.Channel, []byte) error {
	p.mu.Lock()
	p.asks = true
	p.mu.Unlock()
	p.b.poke()
	return nil
}

func (p *wakeupPeer) onAnnounce(_ *protomux.Channel, body []byte) error {
	refs, err := decodeAnnouncement(body)
	if err != nil {
		return err
	}
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	if !open {
		return nil
	}
	h := &p.b.hints
	h.mu.Lock()
	if len(h.list) < maxAnnounced {
		h.list = append(h.list, refs...)
	}
	h.mu.Unlock()
	p.b.poke()
	return nil
}

// closePeers ends the wakeup channels.
func (b *Base) closePeers() {
	b.mu.Lock()
	peers := b.peers
	b.peers = nil
	if b.again != nil {
		b.again.Stop()
	}
	b.mu.Unlock()
	for p := range peers {
		p.end()
	}
}

// Hint says that a log has at least length nodes, so that the base looks for
// them, also if its owner is no member.
func (b *Base) Hint(_ context.Context, log hypercrypto.Key, length uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	b.hints.mu.Lock()
	b.hints.list = append(b.hints.list, oplog.Ref{Key: log, Length: length})
	b.hints.mu.Unlock()
	return b.takeHints(b.here)
}

// takeHints looks at what peers announced. b.mu is held.
func (b *Base) takeHints(ctx context.Context) error {
	b.hints.mu.Lock()
	list := b.hints.list
	b.hints.list = nil
	b.hints.mu.Unlock()
	for i, r := range list {
		err := b.hint(ctx, r)
		if short(err) {
			b.hints.mu.Lock()
			b.hints.list = append(b.hints.list, list[i:]...)
			b.hints.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hint opens a log that is news. b.mu is held.
func (b *Base) hint(ctx context.Context, log oplog.Ref) error {
	e := b.e
	if e.byKey[log.Key] != nil || b.opts.NoWriter != nil && b.opts.NoWriter(log.Key) {
		return nil
	}
	r, err := e.sys.member(ctx, log.Key)
	if err != nil {
		return err
	}
	if r.found && log.Length <= r.member.Length {
		return nil
	}
	if !r.found {
		if b.hinted >= maxHinted {
			return nil
		}
		b.hinted++
	}
	_, err = e.writer(ctx, log.Key)
	b.poke()
	return err
}
