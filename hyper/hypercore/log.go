package hypercore

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// log is the state of one log, shared by all its handles.
type log struct {
	db   *storage.DB
	st   *storage.Core
	key  hypercrypto.Key
	dk   hypercrypto.DiscoveryKey
	opts Options // of the first Open; limits and policies

	repl   *replicator
	events listeners
	stats  counters

	// change is held by whoever alters the tree, from reading the old state to
	// having published the new one, across the commit. It comes before
	// replicator.mu and mu.
	change sync.Mutex

	queue appendQueue

	mu               sync.RWMutex // guards what follows; never held across I/O
	head             head
	published        head // the durable state that peers may know
	rules            *hypercrypto.Verifier
	keyPair          *hypercrypto.KeyPair
	remoteContiguous uint64
	frozen           bool
	failed           error // why the log takes no more changes
	handles          int
	active           int // handles that want data
	closed           bool
	snapshots        map[*snapshot]struct{}

	branches map[string]*branch // open ones; guarded by change

	publishing atomic.Bool
	// forkSeq is odd while a change of fork is on its way to the store, so that
	// nobody mixes what was read before and after.
	forkSeq atomic.Uint64
}

// head is a signed state. It is replaced as a whole, never changed in place.
type head struct {
	merkle.Tree
	signature []byte
}

// state returns the current head.
func (l *log) state() head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.head
}

// public returns the head that peers may know.
func (l *log) public() head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.published
}

// Node makes log a [merkle.Reader] of its stored nodes.
func (l *log) Node(index uint64) (merkle.Node, bool, error) { return node(l.st, index) }

// node reads a tree node as [merkle.Reader] wants it.
func node(st *storage.Core, index uint64) (merkle.Node, bool, error) {
	n, err := st.Node(index)
	if err == storage.ErrNotFound {
		return n, false, nil
	}
	return n, err == nil, err
}

// truncate adds to b that the log loses all from block length on.
func (l *log) truncate(b *storage.Batch, length uint64) {
	b.TruncateBlocks(l.st, length)
	b.TruncateNodes(l.st, length)
}

// contiguous returns how many of the first length blocks are held without a
// gap.
func (l *log) contiguous(length uint64) uint64 { return min(l.st.NextMissing(0), length) }

// verifier returns what checks proofs now.
func (l *log) verifier() merkle.Verifier {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return merkle.Verifier{Key: l.key, Rules: l.rules}
}

// holds tells whether block i is held.
func (l *log) holds(i uint64) bool { return l.st.Has(i, i+1) }

// usable returns why the log cannot be changed, nil if it can.
func (l *log) usable() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.frozen:
		return ErrConflict
	default:
		return l.failed
	}
}

// record is the head record that belongs to h.
func (l *log) record(h *head) storage.Head {
	return storage.Head{Fork: h.Fork, Length: h.Length, ByteLength: h.ByteLength, Signature: h.signature}
}

// commit writes a batch. If the outcome is unknown, the log takes no more
// changes: memory and disk may disagree.
func (l *log) commit(b *storage.Batch, mode storage.Mode) error {
	err := b.Commit(mode)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("store changes of log %s: %w", l.key, err)
	l.fail(err)
	return err
}

// fail makes the log refuse further changes, unless it is only for want of room: then
// nothing was changed.
func (l *log) fail(err error) {
	if errors.Is(err, storage.ErrFull) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

// publish makes the current state public, now if it is durable already, else
// after a sync in the background.
func (l *log) publish(durable bool) {
	if durable {
		l.mu.Lock()
		l.published = l.head
		l.mu.Unlock()
		l.repl.announce()
		return
	}
	if !l.repl.hasPeers() {
		return
	}
	l.startPublishing()
}

// startPublishing syncs and publishes until nothing unpublished is left. One
// goroutine does it for everybody.
func (l *log) startPublishing() {
	if !l.publishing.CompareAndSwap(false, true) {
		return
	}
	l.repl.tasks.Add(1)
	go func() {
		defer l.repl.tasks.Done()
		for {
			h := l.state()
			if err := l.db.Flush(); err != nil {
				l.opts.Log.Debug("sync before publishing", "core", l.key, "err", err)
				l.publishing.Store(false)
				return
			}
			l.mu.Lock()
			l.published = h
			again := l.head.Length != h.Length || l.head.Fork != h.Fork
			if !again {
				l.publishing.Store(false)
			}
			l.mu.Unlock()
			l.repl.announce()
			if !again {
				return
			}
		}
	}()
}

// counters are totals since the log was opened.
type counters struct {
	blocksUploaded, bytesUploaded     atomic.Uint64
	blocksDownloaded, bytesDownloaded atomic.Uint64
	blocksUnused, bytesUnused         atomic.Uint64
}
