package autobase

import (
	"context"
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

const (
	// maxBatch bounds the nodes of one append.
	maxBatch = 1 << 16
	// maxWriters bounds the logs that are open, most of which nobody may have
	// made members.
	maxWriters = 1 << 14
	// maxNamed bounds the logs that the owner of a log who is no member can make us
	// open and wait for at a time.
	maxNamed = 16
	// maxStrange bounds the logs that were opened in that way, so that there is always
	// room for those of members.
	maxStrange = 1 << 12
	// maxAsked bounds the blocks of a log that are asked for ahead of the others.
	maxAsked = 16
	// preload bounds the bytes of nodes that are loaded between two updates.
	preload = 16 << 20
	// nodeSize is about what a node takes beside its value.
	nodeSize = 1 << 10
)

// writer is somebody's log.
type writer struct {
	key  hypercrypto.Key
	core *hypercore.Core

	offset uint64  // nodes that are part of the confirmed state
	nodes  []*node // the others that were loaded
	given  uint64  // length up to which nodes were entered in the epoch's order
	passed uint64  // length up to which they are confirmed in this epoch, part of the state or not

	frozen  error  // why no more is loaded
	locked  uint32 // epoch whose key it takes to load more, 0: none is missing
	peeked  uint64 // length up to which Options.Peek has seen what waits
	strange bool   // it was opened because somebody who is no member named it
	missing *hypercore.Download
	cancel  func()

	signs signs                          // what its newest node says about signatures
	asked map[uint64]*hypercore.Download // blocks wanted ahead of the others
}

// length is how many nodes were loaded, confirmed ones included.
func (w *writer) length() uint64 { return w.offset + uint64(len(w.nodes)) }

// drop forgets the nodes up to length, which are part of the confirmed state.
func (w *writer) drop(length uint64) {
	for len(w.nodes) > 0 && w.offset < length {
		w.nodes[0] = nil
		w.nodes = w.nodes[1:]
		w.offset++
	}
	w.offset = max(w.offset, length)
	w.given = max(w.given, w.offset)
}

// ask orders a block ahead of the others.
func (w *writer) ask(i uint64) {
	if w.asked[i] != nil {
		return
	}
	if len(w.asked) >= maxAsked {
		for k, d := range w.asked {
			d.Close()
			delete(w.asked, k)
		}
	}
	if w.asked == nil {
		w.asked = make(map[uint64]*hypercore.Download)
	}
	w.asked[i] = w.core.Download(hypercore.Range{Blocks: []uint64{i}})
}

// fetch gets all nodes that are not here from peers, also those to come.
func (w *writer) fetch() {
	if w.missing == nil {
		w.missing = w.core.Download(hypercore.Range{Start: w.length(), Live: true, Linear: true})
	}
}

func (w *writer) stopFetching() {
	if w.missing != nil {
		w.missing.Close()
		w.missing = nil
	}
}

// writer returns the log with a key, opened at what is confirmed of it.
func (e *engine) writer(ctx context.Context, k hypercrypto.Key) (*writer, error) {
	if w := e.byKey[k]; w != nil {
		return w, nil
	}
	if len(e.writers) >= maxWriters {
		return nil, fmt.Errorf("autobase: more than %d logs", maxWriters)
	}
	w := &writer{key: k}
	if e.indexed != nil {
		r, err := e.recordAt(ctx, e.indexed, k)
		if err != nil {
			return nil, err
		}
		w.offset = r.member.Length
	} else {
		r, err := e.sys.written(ctx, k)
		if err != nil {
			return nil, err
		}
		w.offset = r.member.Length
	}
	w.given = w.offset
	w.passed = e.passedLength(k)
	o := corestore.GetOptions{Key: &k}
	var enc *logEncryption
	if e.lineage.encryption != nil {
		enc = &logEncryption{lineage: e.lineage}
		o.Encryption = enc
	}
	core, err := e.store.Get(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", k, err)
	}
	if enc != nil {
		enc.core = core
	}
	w.core = core
	w.cancel = core.Events(func(ev hypercore.Event) {
		switch ev.Type {
		case hypercore.EventAppend, hypercore.EventDownload, hypercore.EventManifest, hypercore.EventPeerRemove:
			e.wake()
		}
	})
	if !e.held {
		w.fetch()
	}
	e.writers = append(e.writers, w)
	e.byKey[k] = w
	if e.lin != nil {
		e.lin.Start(k, max(w.offset, w.passed))
	}
	return w, nil
}

// recordAt returns a member's entry in the confirmed state.
func (e *engine) recordAt(ctx context.Context, p *point, k hypercrypto.Key) (record, error) {
	if p.length == e.sys.draft.Length() {
		return e.sys.written(ctx, k)
	}
	t, err := e.sys.tree.Checkout(p.length)
	if err != nil {
		return record{}, err
	}
	defer t.Close()
	b, ok, err := t.Get(ctx, oplog.MemberKey(k))
	if err != nil || !ok {
		return record{}, err
	}
	m, err := oplog.DecodeMember(b.Value)
	return record{m, true}, err
}

func (w *writer) close() {
	w.stopFetching()
	for _, d := range w.asked {
		d.Close()
	}
	if w.cancel != nil {
		w.cancel()
	}
	w.core.Close()
}

// load enters what the logs have to offer, up to a bound, and tells whether that
// is anything.
func (e *engine) load(ctx context.Context) (any bool, err error) {
	if e.held {
		return false, nil
	}
	e.rewound, e.loadStuck = false, false
	budget := preload
	for again := true; again; {
		again = false
		for i := 0; i < len(e.writers); i++ { // grows meanwhile
			w := e.writers[i]
			for budget > 0 {
				ok, err := e.loadNext(ctx, w, &budget)
				if short(err) {
					e.loadStuck = e.loadStuck || w == e.local
					break
				}
				if err != nil {
					return false, err
				}
				if !ok {
					break
				}
				again, any = true, true
			}
			if w == e.local && w.given < w.length() {
				ok, err := e.enterLoaded()
				if err != nil {
					return false, err
				}
				again, any = again || ok, any || ok
			}
		}
		if budget <= 0 {
			break
		}
	}
	return any, nil
}

// loadNext enters the next append of a log.
func (e *engine) loadNext(ctx context.Context, w *writer, budget *int) (bool, error) {
	if w.frozen != nil || w.given < w.length() || e.lockedLog(w) {
		return false, nil
	}
	at, end := w.length(), w.core.Length()
	if at >= end {
		return false, nil
	}
	freeze := func(err error) (bool, error) {
		w.frozen = err
		e.emit(Event{Type: EventFrozen, Key: w.key, Err: err})
		return false, nil
	}
	stopLog := func(err error) (bool, error) {
		if epoch, ok := e.lacks(err); ok {
			e.lockLog(w, at, epoch)
			return false, nil
		}
		if errors.Is(err, oplog.ErrBlock) || errors.Is(err, hypercore.ErrDecrypt) {
			return freeze(err)
		}
		return false, err
	}
	b, err := e.block(w, at)
	if errors.Is(err, hypercore.ErrNotAvailable) {
		return false, nil
	}
	if err != nil {
		return stopLog(err)
	}
	if b.Batch == 0 || b.Batch > maxBatch {
		return freeze(fmt.Errorf("%w: node %d counts %d to the end of its batch", ErrLog, at+1, b.Batch))
	}
	if at+b.Batch > end {
		return false, nil
	}
	blocks := append(make([]*oplog.Block, 0, b.Batch), b)
	size := len(b.Value)
	for i := uint64(1); i < b.Batch; i++ {
		b, err := e.block(w, at+i)
		if errors.Is(err, hypercore.ErrNotAvailable) {
			return false, nil
		}
		if err != nil {
			return stopLog(err)
		}
		blocks, size = append(blocks, b), size+len(b.Value)
	}
	if err := checkBatch(w.key, at+1, blocks); err != nil {
		return freeze(err)
	}
	if ok, err := e.openNamed(ctx, w, blocks); err != nil || !ok {
		return false, err
	}
	*budget -= size + nodeSize*len(blocks)
	for i, b := range blocks {
		n := &node{Ref: oplog.Ref{Key: w.key, Length: at + uint64(i) + 1}, w: w, block: b}
		w.nodes = append(w.nodes, n)
		if err := e.enter(n); err != nil {
			w.nodes = w.nodes[:len(w.nodes)-1]
			return freeze(err)
		}
	}
	return true, nil
}

// openNamed opens the logs that blocks name, and tells whether all nodes that they
// name were entered. Who is no member makes us open a few logs at a time: the next
// ones when those have brought what was named of them. Logs that do not exist so
// hold up nothing but the log that names them.
func (e *engine) openNamed(ctx context.Context, w *writer, blocks []*oplog.Block) (all bool, err error) {
	trusted := w.key == e.lineage.base
	if !trusted {
		if trusted, err = e.sys.active(ctx, w.key); err != nil {
			return false, err
		}
	}
	all = true
	waiting := 0 // for strange logs
	for _, b := range blocks {
		for _, h := range b.Heads {
			if h.Key == w.key {
				continue
			}
			hw := e.byKey[h.Key]
			if hw == nil {
				if len(e.writers) >= maxWriters || !trusted && (waiting >= maxNamed || e.strange >= maxStrange) {
					return false, nil
				}
				if hw, err = e.writer(ctx, h.Key); err != nil {
					return false, err
				}
				if !trusted {
					hw.strange = true
					e.strange++
				}
			}
			if hw.given < h.Length {
				all = false
				if hw.strange {
					waiting++
				}
			}
		}
	}
	return all, nil
}

// block reads a block of a log that is held here.
func (e *engine) block(w *writer, i uint64) (*oplog.Block, error) {
	raw, err := w.core.GetLocal(i)
	if err != nil {
		return nil, err
	}
	b, err := oplog.Decode(raw)
	if err != nil && e.lineage.encryption != nil {
		if plain := plainOptimistic(w.core, i); plain != nil {
			return plain, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("node %d: %w", i+1, err)
	}
	return b, nil
}
