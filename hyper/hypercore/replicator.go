package hypercore

import (
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/bitfield"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// replicator exchanges one log with any number of peers. What is asked for and
// what is in flight is kept per log, not per peer, so that it can be given to
// another peer at any time.
//
// Handlers of peers run on the read loops of their connections. They change
// state under mu and put received data into the ingest queue; one goroutine at
// a time empties that queue, checks, commits and asks for more. mu is held while
// messages are queued for sending, which never blocks.
type replicator struct {
	log   *log
	tasks sync.WaitGroup // goroutines that close waits for, and peers

	// handling is held, shared, while a handler of a peer runs, and alone by close, to wait
	// for those. It is taken before mu. close does not wait for handlers of others on the
	// same connections: they may wait for it.
	handling sync.RWMutex
	over     bool // no handler begins any more; guarded by handling

	mu          sync.Mutex // guards what follows; taken before log.mu
	closed      bool
	downloading bool // told to peers: this side wants data
	peers       []*Peer
	muxes       []*protomux.Mux // connections that the log was attached to
	gets        map[uint64]*blockWait
	seeks       map[*seekWait]struct{}
	downloads   []*Download
	asked       map[uint64]int // blocks in flight or being checked: at how many peers
	upgrade     *request       // the upgrade in flight, at most one
	reorg       *reorg
	updates     map[*updateWait]struct{}
	finding     int  // callers that still look for peers
	seenPeer    bool // any peer ever
	extensions  map[string]*Extension
	queue       []*received // data that waits for ingest
	ingesting   bool
	droppedHere bitfield.Bitfield // blocks that were held in this process and are no more
	checked     sync.Cond         // less waits to be checked, or the log is closed
	restUntil   time.Time         // the store failed: nothing is asked for before
	stealTimer  *time.Timer
	stealAt     time.Time // when stealTimer fires, zero if it does not run
}

func newReplicator(l *log) *replicator {
	r := &replicator{
		log:   l,
		gets:  make(map[uint64]*blockWait),
		seeks: make(map[*seekWait]struct{}), asked: make(map[uint64]int),
		updates: make(map[*updateWait]struct{}), extensions: make(map[string]*Extension),
		downloading: true,
	}
	r.checked.L = &r.mu
	return r
}

// Replicate attaches the log to a connection. Replication goes on in the
// background until the connection or the log is closed; attaching twice is the
// same as once. The connection's loop, [protomux.Mux.Run], is the caller's.
func (c *Core) Replicate(m *protomux.Mux) error {
	if err := c.open(); err != nil {
		return err
	}
	return c.log.repl.attach(m)
}

// Peers returns the peers that have the log open now.
func (c *Core) Peers() []*Peer {
	r := c.log.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*Peer
	for _, p := range r.peers {
		if p.opened {
			list = append(list, p)
		}
	}
	return list
}

func (r *replicator) attach(m *protomux.Mux) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	for _, p := range r.peers {
		if p.mux == m {
			return nil
		}
	}
	r.muxes = slices.DeleteFunc(r.muxes, ended)
	if !slices.Contains(r.muxes, m) {
		// The other side may reject the log now and open it later.
		r.muxes = append(r.muxes, m)
		m.Pair(wire.Protocol, r.log.dk[:], func([]byte) {
			if err := r.attach(m); err != nil {
				r.log.opts.Log.Debug("cannot answer open", "core", r.log.key, "err", err)
			}
		})
	}
	return r.attachLocked(m, false)
}

func ended(m *protomux.Mux) bool {
	select {
	case <-m.Done():
		return true
	default:
		return false
	}
}

func (r *replicator) attachLocked(m *protomux.Mux, again bool) error {
	p := &Peer{repl: r, mux: m, reopened: again}
	p.reset()
	stream := m.Stream()
	handshake := wire.Handshake{Seeks: true, Capability: p.capability(stream.IsInitiator())}
	ch, err := m.Open(protomux.ChannelOptions{
		Protocol:   wire.Protocol,
		Aliases:    []string{wire.Alias},
		ID:         r.log.dk[:],
		Handshake:  handshake.AppendTo(nil),
		OnOpen:     p.onOpen,
		Messages:   p.handlers(),
		OnBatchEnd: func(*protomux.Channel) { r.handle(p.onBatchEnd) },
		OnDrain:    func(*protomux.Channel) { r.handle(p.onDrain) },
		OnClose:    func(_ *protomux.Channel, remote bool) { p.onClose(remote) },
	})
	if err != nil {
		return err
	}
	p.ch = ch
	r.peers = append(r.peers, p)
	r.tasks.Add(1) // until onClose
	return nil
}

// close detaches all peers, fails what waits and returns when no goroutine of
// the replicator is left.
func (r *replicator) close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.checked.Broadcast()
	if r.stealTimer != nil {
		r.stealTimer.Stop()
	}
	peers := append([]*Peer(nil), r.peers...)
	for _, w := range r.gets {
		w.fail(ErrClosed)
	}
	for w := range r.seeks {
		w.fail(ErrClosed)
	}
	for w := range r.updates {
		w.finish(false)
	}
	downloads := r.downloads
	r.downloads = nil
	muxes := r.muxes
	r.muxes = nil
	r.mu.Unlock()
	for _, m := range muxes {
		m.Unpair(wire.Protocol, r.log.dk[:])
	}
	for _, d := range downloads {
		d.finish(ErrClosed)
	}
	for _, p := range peers {
		p.ch.Close()
		p.onClose(false)
	}
	r.handling.Lock()
	r.over = true
	r.handling.Unlock()
	r.tasks.Wait()
}

// handle calls what a peer has to do with a message or at another moment, unless the log
// is closed.
func (r *replicator) handle(fn func()) {
	r.handling.RLock()
	defer r.handling.RUnlock()
	if !r.over {
		fn()
	}
}

func (r *replicator) hasPeers() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers) > 0
}

// setDownloading tells the peers whether this side wants data.
func (r *replicator) setDownloading() {
	r.log.mu.RLock()
	want := r.log.active > 0
	r.log.mu.RUnlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.downloading == want {
		return
	}
	r.downloading = want
	for _, p := range r.peers {
		if p.opened {
			p.sendSync()
			p.closeIfIdle()
		}
	}
	if want {
		r.pump()
	}
}

// announce tells the peers about the published state.
func (r *replicator) announce() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		if p.opened {
			p.announceHead()
		}
	}
}

// grew is called when the log has more blocks, by its own writer.
func (r *replicator) grew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gets) > 0 {
		r.wakeGets()
	}
	r.checkDownloads()
	r.resolveUpdates()
}

// cleared is called when blocks were dropped here.
func (r *replicator) cleared(start, end uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.droppedHere.SetRange(start, end, true)
	for _, p := range r.peers {
		if p.opened {
			p.sendRange(true, start, end-start)
			// JavaScript forgets with the end of what is here from the start on all behind it.
			for from, told := end, p.told; from < told; {
				held, ok := r.log.st.NextHeld(from)
				if !ok || held >= told {
					break
				}
				from = min(r.log.st.NextMissing(held), told)
				p.sendRange(false, held, from-held)
			}
			p.told = min(p.told, start)
		}
	}
	for _, d := range r.downloads {
		d.next = min(d.next, start)
		d.listed = 0
	}
	r.pump()
}

// forked is called when the log was cut to keep blocks and has a new fork.
func (r *replicator) forked(keep, oldLength uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forkedLocked(keep, oldLength)
}

func (r *replicator) forkedLocked(keep, oldLength uint64) {
	r.droppedHere.SetRange(keep, max(keep, oldLength), true)
	if r.reorg != nil && r.reorg.fork <= r.log.state().Fork {
		r.reorg = nil
	}
	for _, p := range r.peers {
		p.missing = nil
		p.cursors = nil
		if p.opened {
			if oldLength > keep {
				p.dropped(keep, oldLength)
			}
			p.told, p.toldLength = min(p.told, keep), min(p.toldLength, keep)
			p.forkChanged()
		}
	}
	for _, d := range r.downloads {
		d.next = min(d.next, keep)
		d.listed = 0
	}
	if len(r.gets) > 0 {
		r.wakeGets()
	}
	for w := range r.seeks {
		w.fail(nil)
	}
	r.resolveUpdates()
	r.pump()
}

// pump asks every peer that has room for what is wanted.
func (r *replicator) pump() {
	for _, p := range r.peers {
		p.pump()
	}
}
