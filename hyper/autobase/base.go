package autobase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

// ErrClosed: the base is closed.
var ErrClosed = errors.New("autobase: closed")

// Handlers are the application.
type Handlers struct {
	// Open asks for the views, always the same ones in the same order. It is
	// called once, before anything is applied.
	Open func(v *Views) error
	// Apply writes the effect of nodes, which are the values of one append, to the
	// views. It must be a function of the nodes, the views and the host: no clock,
	// no randomness, no order of a map. If it returns an error, or panics, the
	// nodes have no effect, here and on all other peers.
	Apply func(ctx context.Context, nodes []Node, h *Host) error
}

// Options configures Open. The zero value is ready to use.
type Options struct {
	// EncryptionKey encrypts logs and views. All members have it. It is needed once:
	// the store remembers it.
	EncryptionKey *hypercrypto.EncryptionKey
	// Encrypt takes a key that the store derives if none is given or remembered.
	Encrypt bool
	// Keys are the keys of epochs, into which an encrypted base is divided by
	// [Host.SetKeyEpoch]. Either all devices of a base have a ring or none. Nil: what
	// is written is encrypted with the key of the base for ever.
	Keys hypercrypto.KeyRing
	// Peek is called with values that cannot be applied yet because a key is missing,
	// and that can be read nevertheless, with each at least once: the key may be in
	// them. Nothing of them was checked. It is called while the base is locked: it must
	// return quickly and not use the base, except for [Base.KeysChanged].
	Peek func(log hypercrypto.Key, value []byte)
	// Ignored is called with values that have no effect because their writer is no member
	// at their place in the order, as of then: a key may be in them that those used who did
	// not know. It is called as Peek is.
	Ignored func(log hypercrypto.Key, value []byte)
	// Guard seals the key that the store remembers. Nil keeps it as it is.
	Guard KeyGuard
	// Local is the key pair of the own log. Nil: the log that was the own one
	// before, at first the one that the store derives.
	Local *hypercrypto.KeyPair
	// Optimistic lets Apply see nodes of those who are no members.
	Optimistic bool
	// AckInterval is about how long an indexer waits before it acknowledges what
	// others wrote. Default 10 s; negative: only Ack does.
	AckInterval time.Duration
	// NoForward always replays all nodes, instead of jumping to a signed state
	// that peers have when that is far ahead.
	NoForward bool
	// NoWriter tells of a log that it is known to be none of a writer, so that nothing is
	// done when a peer announces it; nil if that is known of none. It is called while the
	// base is locked.
	NoWriter func(log hypercrypto.Key) bool
	// OnEvent is called with everything that happens to the base, while the base
	// is locked: it must return quickly and not use the base.
	OnEvent func(Event)
	// Log receives debug messages; nil discards them.
	Log *slog.Logger
}

// Base is one state of the logs of many writers. It is safe for concurrent use.
type Base struct {
	e     *engine
	opts  Options
	log   *slog.Logger
	store *corestore.Store // own view of the caller's
	first *hypercore.Core  // log of the first writer
	local atomic.Pointer[hypercrypto.Key]

	learned atomic.Bool // a key, since run looked

	ctx    context.Context
	here   context.Context // ctx without peers: for all that is done with the base locked
	cancel context.CancelFunc
	signal chan struct{} // there may be news in a log
	wg     sync.WaitGroup

	mu       sync.Mutex // guards the engine and what follows
	failed   error
	closed   bool
	writable bool
	last     Position
	wasStuck bool
	changed  chan struct{} // closed and replaced when the state changed
	peers    map[*wakeupPeer]struct{}
	again    *time.Timer // pokes when something is to be announced again
	hinted   int         // logs of no members that peers named
	hints    hints
	forward  forwarding

	queueMu sync.Mutex // guards queue
	queue   []*request
}

// Position says how far a base is, in blocks of the system view, which has one
// version for every node.
type Position struct {
	Tip       uint64 // all that is applied
	Confirmed uint64 // its order is final
	Signed    uint64 // a quorum of the indexers signed it
}

// Open opens the base whose first writer's log is bootstrap, or makes one if
// bootstrap is nil and the store has none yet. It waits for no peer.
func Open(ctx context.Context, store *corestore.Store, bootstrap *hypercrypto.Key, h Handlers, opts *Options) (*Base, error) {
	b := &Base{signal: make(chan struct{}, 1), changed: make(chan struct{}), peers: make(map[*wakeupPeer]struct{})}
	b.forward.turn = make(chan struct{}, 1)
	if opts != nil {
		b.opts = *opts
	}
	if b.opts.AckInterval == 0 {
		b.opts.AckInterval = 10 * time.Second
	}
	if b.log = b.opts.Log; b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.store = store.Session()
	e := &engine{
		store: b.store, apply: h.Apply, optimistic: b.opts.Optimistic, emit: b.event, wake: b.poke, later: b.later, peek: b.opts.Peek, ignored: b.opts.Ignored,
		byKey: make(map[hypercrypto.Key]*writer), receipts: make(map[oplog.Ref]*Receipt),
		needs: make(map[Need]struct{}), seek: b.seekBlock, await: b.pokeAfter,
	}
	b.e = e
	b.here = hypercore.WithoutPeers(b.ctx, e.miss)
	// Goroutines that fetch blocks wait until it is open.
	b.mu.Lock()
	err := b.open(hypercore.WithoutPeers(ctx, e.miss), bootstrap, h)
	b.mu.Unlock()
	if err != nil {
		b.cancel()
		b.wg.Wait()
		b.release()
		return nil, err
	}
	b.wg.Go(b.run)
	if b.opts.AckInterval > 0 {
		b.wg.Go(b.ackInBackground)
	}
	return b, nil
}

func (b *Base) open(ctx context.Context, bootstrap *hypercrypto.Key, h Handlers) error {
	e := b.e
	local, err := b.openLocal(ctx, bootstrap)
	if err != nil {
		return err
	}
	defer local.Close()
	e.lineage = &lineage{base: b.first.Key(), ring: b.opts.Keys}
	if e.lineage.encryption, err = b.encryptionKey(ctx, local); err != nil {
		return err
	}
	if e.lineage.encryption == nil && b.opts.Keys != nil {
		return errors.New("autobase: a base in clear has no keys")
	}
	if err := b.rememberLocal(local); err != nil {
		return err
	}
	// The system view says where to begin in every log, and the own log where
	// the system view is.
	e.local = &writer{core: local}
	if err := e.boot(ctx); err != nil {
		return err
	}
	// A new reader sees how far the others are before it fetches nodes.
	e.held = !b.opts.NoForward && e.sys.draft.Length() == 0 && local.Key() != e.lineage.base
	if err := b.useLocal(ctx, local.Key()); err != nil {
		return err
	}
	if _, err := e.writer(ctx, e.lineage.base); err != nil {
		return err
	}
	if err := e.openKeys(ctx); err != nil {
		return err
	}
	v := &Views{e: e, ctx: ctx}
	if h.Open != nil {
		err = h.Open(v)
	}
	v.done = true
	if err = errors.Join(err, v.err); err != nil {
		return fmt.Errorf("open views: %w", err)
	}
	if err := e.openMembers(ctx); err != nil {
		return err
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	if err := e.fillIn(ctx); err != nil {
		return err
	}
	return b.advance(ctx)
}

// openMembers opens the logs of all members that have something to load.
func (e *engine) openMembers(ctx context.Context) error {
	for x, err := range e.sys.tree.LocalOnly().Entries(ctx, memberRange) {
		if errors.Is(err, hypercore.ErrNotAvailable) {
			e.membersLeft = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read members: %w", err)
		}
		w, err := decodeWriter(x)
		if err != nil || w.Removed {
			continue
		}
		if _, err := e.writer(ctx, w.Key); err != nil {
			return err
		}
	}
	e.membersLeft = false
	return nil
}

// pokeAfter pokes when a channel is closed.
func (b *Base) pokeAfter(done <-chan struct{}) {
	b.wg.Go(func() {
		select {
		case <-done:
			b.poke()
		case <-b.ctx.Done():
		}
	})
}

// poke makes the base look for news. It never waits.
func (b *Base) poke() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *Base) event(ev Event) {
	b.log.Debug("base", "event", ev.Type, "key", ev.Key, "length", ev.Length, "err", ev.Err)
	if b.opts.OnEvent != nil {
		b.opts.OnEvent(ev)
	}
}

// run follows the logs until the base is closed.
func (b *Base) run() {
	for {
		select {
		case <-b.signal:
		case <-b.ctx.Done():
			return
		}
		b.mu.Lock()
		if b.usable() == nil {
			if b.learned.Swap(false) {
				b.forward.after = time.Time{}
				b.e.peekAgain()
			}
			err := b.takeHints(b.here)
			if err == nil {
				err = b.advance(b.here)
			}
			if err != nil && b.ctx.Err() == nil {
				b.stumble(err)
			}
		}
		b.mu.Unlock()
	}
}

// usable returns why the base cannot be used. b.mu is held.
func (b *Base) usable() error {
	if b.closed {
		return ErrClosed
	}
	return b.failed
}

// fail stops the base. b.mu is held.
func (b *Base) fail(err error) {
	if b.failed == nil {
		b.failed = err
		b.event(Event{Type: EventFailed, Err: err})
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

// advance takes in what the logs have and writes what waits. b.mu is held.
func (b *Base) advance(ctx context.Context) error {
	e := b.e
	if err := e.filled(ctx); err != nil && !short(err) {
		return err
	}
	for first := true; ; first = false {
		// What is applied may add writers, who have nodes already.
		any, err := e.load(ctx)
		if err != nil {
			return err
		}
		if !any && !first {
			break
		}
		if err := e.update(ctx); err != nil {
			return err
		}
		if err := e.collect(ctx); err != nil {
			return err
		}
	}
	if e.pendingIndexer() && !e.stuck() {
		if err := e.write(ctx, []*entry{{values: [][]byte{nil}}}); err != nil {
			return err
		}
	}
	e.peekAll()
	return b.settle(ctx)
}

// settle tells everybody what changed. b.mu is held.
func (b *Base) settle(ctx context.Context) error {
	e := b.e
	e.settleReceipts()
	w, err := e.writable(ctx)
	if short(err) {
		w = b.writable
	} else if err != nil {
		return err
	}
	turned := w != b.writable
	if turned {
		b.writable = w
		t := EventUnwritable
		if w {
			t = EventWritable
		}
		b.event(Event{Type: t, Key: e.local.key})
	}
	p := Position{Tip: e.sys.draft.Length(), Confirmed: e.indexed.length, Signed: e.signed}
	if p != b.last && !e.regressed || e.stuck() != b.wasStuck || turned {
		if p != b.last && !e.regressed {
			b.last = p
			b.event(Event{Type: EventUpdate, Length: p.Tip})
		}
		b.wasStuck = e.stuck()
		close(b.changed)
		b.changed = make(chan struct{})
	}
	b.announceAll()
	b.considerForward()
	return nil
}

// Close ends the base. What is written is kept; the store stays open.
func (b *Base) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
	b.cancel()
	b.closePeers()
	b.wg.Wait()
	b.release()
	return nil
}

func (b *Base) release() {
	if b.first != nil {
		b.first.Close()
	}
	b.e.close()
}
