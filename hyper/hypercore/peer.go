package hypercore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/bitfield"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// Peer is the other side of one connection, for one log.
type Peer struct {
	repl *replicator
	mux  *protomux.Mux
	ch   *protomux.Channel

	blocksUploaded, bytesUploaded     atomic.Uint64
	blocksDownloaded, bytesDownloaded atomic.Uint64
	blocksUnused, bytesUnused         atomic.Uint64

	// What follows is guarded by repl.mu.

	opened   bool
	closed   bool
	reopened bool // opened again at once after the other side had closed

	// What the other side said.
	remote     wire.Sync
	synced     bool
	seeks      bool              // it understands seeks
	contiguous uint64            // it holds the first blocks up to here
	bits       bitfield.Bitfield // and these
	wants      wantSet           // it wants to hear about these
	heard      chan struct{}     // closed when it says more of itself; nil if nobody waits

	// What this side knows about it and told it.
	lengthAcked uint64    // our length, as it last repeated it on our fork
	canUpgrade  bool      // we can prove growth from its length
	sent        wire.Sync // the last sync
	sentAny     bool
	told        uint64 // contiguous length that was announced on this fork
	toldLength  uint64 // length up to which blocks were announced
	wanted      map[uint64]struct{}
	replied     map[uint64]struct{} // those of wanted that it told of

	// Requests of ours.
	inflight      map[uint64]*request
	inflightBytes int
	checking      int // messages received and not yet stored
	unchecked     int // bytes of them
	unasked       int // those of them that answer no request
	lastID        uint64
	cursors       map[*Download]*cursor
	missing       map[uint64]struct{} // blocks it said not to have
	paused        bool                // it sent what does not verify
	askedConflict bool
	stalled       bool // it let requests time out
	timer         *time.Timer
	lastHeard     time.Time
	answerTime    time.Duration // smoothed, from request to answer
	stealAt       time.Time     // nothing is to be taken over from others before

	// Requests of the other side.
	parked      []*wire.Request // waiting for the connection to take more
	parkedWants []wire.Want     // the same
	invalid     int
	pushed      uint64 // highest length that was pushed

	lastExtSent, lastExtRead string

	scratch []byte // block being served; owned by the connection's handlers
}

// PublicKey returns the other side's key on this connection.
func (p *Peer) PublicKey() hypercrypto.PublicKey { return p.mux.Stream().RemotePublicKey() }

// PeerStats are counters and knowledge about a peer.
type PeerStats struct {
	BlocksUploaded, BytesUploaded     uint64 // sent to it
	BlocksDownloaded, BytesDownloaded uint64 // received from it, verified and stored
	BlocksUnused, BytesUnused         uint64 // received in vain: here already, or not asked for any more
	RemoteLength, RemoteFork          uint64
	RemoteContiguousLength            uint64
	Inflight                          int // requests that wait for an answer
	Paused                            bool
}

// Stats returns what is known about the peer now.
func (p *Peer) Stats() PeerStats {
	s := PeerStats{
		BlocksUploaded: p.blocksUploaded.Load(), BytesUploaded: p.bytesUploaded.Load(),
		BlocksDownloaded: p.blocksDownloaded.Load(), BytesDownloaded: p.bytesDownloaded.Load(),
		BlocksUnused: p.blocksUnused.Load(), BytesUnused: p.bytesUnused.Load(),
	}
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	s.RemoteLength, s.RemoteFork = p.remote.Length, p.remote.Fork
	s.RemoteContiguousLength, s.Inflight, s.Paused = p.contiguous, len(p.inflight), p.paused
	return s
}

func (p *Peer) reset() {
	p.inflight = make(map[uint64]*request)
	p.wanted = make(map[uint64]struct{})
	p.canUpgrade = true
	p.remote.Uploading, p.remote.Downloading = true, true
}

func (p *Peer) capability(initiator bool) hypercrypto.Hash {
	hash := p.mux.Stream().HandshakeHash()
	return hypercrypto.Capability(p.repl.log.key, &hash, initiator)
}

func (p *Peer) handlers() []func(*protomux.Channel, []byte) error {
	h := func(fn func([]byte) error) func(*protomux.Channel, []byte) error {
		return func(_ *protomux.Channel, body []byte) (err error) {
			p.repl.handle(func() { err = fn(body) })
			return err
		}
	}
	return []func(*protomux.Channel, []byte) error{
		wire.TypeSync: h(p.onSync), wire.TypeRequest: h(p.onRequest), wire.TypeCancel: h(p.onCancel),
		wire.TypeData: h(p.onData), wire.TypeNoData: h(p.onNoData), wire.TypeWant: h(p.onWant),
		wire.TypeUnwant: h(p.onUnwant), wire.TypeBitfield: h(p.onBitfield), wire.TypeRange: h(p.onRange),
		wire.TypeExtension: h(p.onExtension),
	}
}

// onOpen checks that the other side knows the key, and says what we have.
func (p *Peer) onOpen(_ *protomux.Channel, handshake []byte) error {
	h, err := wire.DecodeHandshake(handshake)
	if err != nil {
		return err
	}
	if h.Capability != p.capability(!p.mux.Stream().IsInitiator()) {
		return fmt.Errorf("hypercore: peer does not know the key of log %s", p.repl.log.dk)
	}
	r := p.repl
	r.handling.RLock()
	defer r.handling.RUnlock()
	r.mu.Lock()
	if p.closed {
		r.mu.Unlock()
		return nil
	}
	p.seeks = h.Seeks
	p.opened = true
	p.lastHeard = time.Now()
	r.seenPeer = true
	p.announceHead()
	r.mu.Unlock()
	r.log.events.emit(r.event(EventPeerAdd, p))
	// What is not public yet becomes so now that somebody listens.
	if l := r.log; l.unpublished() {
		l.startPublishing()
	}
	return nil
}

func (l *log) unpublished() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.published.Length != l.head.Length || l.published.Fork != l.head.Fork
}

func (r *replicator) event(t EventType, p *Peer) Event {
	h := r.log.state()
	return Event{Type: t, Length: h.Length, Fork: h.Fork, Peer: p}
}

// onClose gives everything that was asked of the peer to others. It is called by the
// connection, and before that by the log if it closes.
func (p *Peer) onClose(remote bool) {
	r := p.repl
	r.mu.Lock()
	if p.closed {
		r.mu.Unlock()
		return
	}
	defer r.tasks.Done()
	was := p.opened
	p.opened, p.closed = false, true
	p.hear()
	for i, q := range r.peers {
		if q == p {
			r.peers = append(r.peers[:i:i], r.peers[i+1:]...)
			break
		}
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.parked, p.parkedWants = nil, nil
	p.giveBackAll()
	if r.reorg != nil && r.reorg.peer == p {
		r.reorg = nil
	}
	wanted := len(r.gets)+len(r.seeks)+len(r.downloads) > 0
	fresh := !p.reopened || p.blocksDownloaded.Load() > 0
	if was && remote && fresh && !r.closed && r.downloading && p.remote.Uploading && (wanted || !p.remote.Downloading) {
		// It closed because nobody seemed to want anything, or because nobody uses
		// the log over there; asking makes it open the log again.
		_ = r.attachLocked(p.mux, true)
	}
	for _, q := range r.peers {
		q.checkReorg()
	}
	r.pump()
	r.resolveUpdates()
	r.mu.Unlock()
	if was {
		r.log.events.emit(r.event(EventPeerRemove, p))
	}
}

// has tells whether the peer holds block i, as far as it said.
func (p *Peer) has(i uint64) bool { return i < p.contiguous || p.bits.Get(i) }

// nextHeld returns the first block from i on that the peer holds.
func (p *Peer) nextHeld(i uint64) (uint64, bool) {
	if i < p.contiguous {
		return i, true
	}
	return p.bits.NextSet(i)
}

// closeIfIdle closes the channel when neither side wants data.
func (p *Peer) closeIfIdle() {
	if p.synced && !p.remote.Downloading && !p.repl.downloading && len(p.inflight) == 0 {
		p.ch.Close()
	}
}

// onBatchEnd runs when a burst of messages was handled.
func (p *Peer) onBatchEnd() {
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	p.pump()
}
