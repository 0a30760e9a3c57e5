package hyperbee

import (
	"bytes"
	"context"
	"sync"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// extensionName is the name of the Hypercore extension.
const extensionName = "hyperbee"

// Limits of the work for peers and of what their answers may start.
const (
	announceSize    = 128          // blocks per Cache message, as in JavaScript
	iteratorBlocks  = 2048         // blocks an iterator walks before it asks again
	maxAnnounced    = 2048 + 128   // blocks announced for one request
	maxTouched      = 4 * 2176     // blocks read for one request
	maxRequests     = 64           // requests waiting, of all peers
	maxPeerRequests = 8            // requests waiting, of one peer
	getCredit       = 1024         // blocks accepted after a Get, of all peers
	iteratorCredit  = 4 * 2176     // blocks accepted after an Iterator
	maxCredit       = 8 * 4 * 2176 // blocks accepted at any time
)

// extension exchanges hints with peers: which blocks a read needs, so that the
// reader asks for all of them at once instead of one after the other. Peers may
// ignore or abuse it: answers are only taken for own questions, and questions
// of peers are answered one at a time from a bounded queue.
type extension struct {
	t      *Tree
	out    *hypercore.Extension
	cancel context.CancelFunc

	mu      sync.Mutex // guards the rest
	credit  int        // blocks that Cache messages may still name
	queue   []request
	perPeer map[*hypercore.Peer]int
	busy    bool // answer runs
	closed  bool
	done    sync.WaitGroup
}

type request struct {
	from *hypercore.Peer
	msg  message
}

func newExtension(t *Tree) *extension {
	ctx, cancel := context.WithCancel(context.Background())
	e := &extension{t: t, cancel: cancel, perPeer: make(map[*hypercore.Peer]int)}
	e.out = t.s.core.RegisterExtension(extensionName, func(from *hypercore.Peer, payload []byte) {
		// On the wire the message is a buffer: its length goes first.
		r := compact.NewReader(payload)
		if payload = r.Buffer(); r.Err() == nil {
			e.receive(ctx, from, payload)
		}
	})
	return e
}

func (e *extension) close() {
	e.mu.Lock()
	e.closed = true
	e.queue = nil
	e.mu.Unlock()
	e.cancel()
	e.out.Close()
	e.done.Wait()
}

// getHint returns a function that asks peers for the blocks of a lookup when it
// is called first.
func (e *extension) getHint(version uint64, key []byte) func() {
	asked := false
	return func() {
		if asked {
			return
		}
		asked = true
		e.ask(message{get: &getMessage{version: version, key: key}}, getCredit)
	}
}

// hintRange makes a cursor ask peers for the blocks ahead when it has to wait
// and has not asked within the last iteratorBlocks blocks.
func (e *extension) hintRange(c *cursor, limit int) {
	next := 0
	c.r.touched = func(uint64) {
		if next > 0 {
			next--
		}
	}
	c.r.waiting = func() {
		if next > 0 {
			return
		}
		next = iteratorBlocks
		m := &iteratorMessage{version: c.r.version, limit: uint64(limit), reverse: c.reverse}
		if c.bounds.lowerIncl {
			m.gte = c.bounds.lower
		} else {
			m.gt = c.bounds.lower
		}
		if c.bounds.upperIncl {
			m.lte = c.bounds.upper
		} else {
			m.lt = c.bounds.upper
		}
		if c.opened {
			if m.checkpoint = c.checkpoint(); len(m.checkpoint) == 0 {
				return
			}
		}
		e.ask(message{iterator: m}, iteratorCredit)
	}
}

func (e *extension) ask(m message, credit int) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.credit = min(e.credit+credit, maxCredit)
	e.mu.Unlock()
	e.out.Broadcast(compact.AppendBuffer(nil, m.append(nil)))
}

// checkpoint returns the place of the cursor, which may be inside next.
func (c *cursor) checkpoint() []uint64 {
	var out []uint64
	for j, f := range c.path {
		i := f.i
		if c.inNext && j == len(c.path)-1 {
			if i--; c.reverse {
				i += 2
			}
		}
		if i >= 0 {
			out = append(out, f.seq, f.offset, uint64(i))
		}
	}
	return out
}

// receive takes a message of a peer. It does not block; payload is valid
// during the call only. ctx ends the answer.
func (e *extension) receive(ctx context.Context, from *hypercore.Peer, payload []byte) {
	if len(payload) > maxMessage {
		return
	}
	m, err := decodeMessage(bytes.Clone(payload))
	if err != nil {
		return
	}
	if m.cache != nil {
		e.receiveCache(m.cache)
	}
	if m.get == nil && m.iterator == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.queue) >= maxRequests || e.perPeer[from] >= maxPeerRequests {
		return
	}
	e.queue = append(e.queue, request{from, m})
	e.perPeer[from]++
	if !e.busy {
		e.busy = true
		e.done.Add(1)
		go e.answer(ctx)
	}
}

// receiveCache downloads the named blocks.
func (e *extension) receiveCache(m *cacheMessage) {
	e.mu.Lock()
	ok := !e.closed && len(m.blocks) <= e.credit
	if ok {
		e.credit -= len(m.blocks)
	}
	e.mu.Unlock()
	if !ok {
		return
	}
	core := e.t.s.core
	length := core.Length()
	missing := m.blocks[:0]
	for _, seq := range m.blocks {
		if seq < length && !core.Has(seq, seq+1) {
			missing = append(missing, seq)
		}
	}
	if len(missing) > 0 {
		e.t.s.fetch.start(core, missing)
	}
}

// answer serves the queue until it is empty.
func (e *extension) answer(ctx context.Context) {
	defer e.done.Done()
	for {
		e.mu.Lock()
		if len(e.queue) == 0 {
			e.busy = false
			e.mu.Unlock()
			return
		}
		q := e.queue[0]
		e.queue = e.queue[1:]
		if e.perPeer[q.from]--; e.perPeer[q.from] == 0 {
			delete(e.perPeer, q.from)
		}
		e.mu.Unlock()
		if q.msg.get != nil {
			e.answerGet(ctx, q.from, q.msg.get)
		}
		if q.msg.iterator != nil {
			e.answerIterator(ctx, q.from, q.msg.iterator)
		}
	}
}
