package hypercore

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/storage"
)

// Append adds blocks at the end in one atomic change and returns the new
// length. It returns when the change is durable, or with Options.Relaxed when
// the operating system has it. Calls from several goroutines are joined: those
// that wait for the same commit share a signature.
//
// The blocks may be used again after the call. Nothing is done for no blocks.
func (c *Core) Append(ctx context.Context, blocks ...[]byte) (length uint64, err error) {
	return c.append(ctx, blocks, false)
}

// AppendRelaxed is Append as with Options.Relaxed: it returns when the operating system
// has the blocks. They become durable with the next durable change to any log of the
// store, or by themselves a little later, and no peer learns of them before.
func (c *Core) AppendRelaxed(ctx context.Context, blocks ...[]byte) (length uint64, err error) {
	return c.append(ctx, blocks, true)
}

func (c *Core) append(ctx context.Context, blocks [][]byte, relaxed bool) (length uint64, err error) {
	if err := c.appendable(blocks); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(blocks) == 0 {
		return c.Length(), nil
	}
	if c.branch != nil {
		return c.branch.append(c, blocks)
	}
	if c.draft != nil {
		return c.draft.append(c, blocks)
	}
	r := &appendRequest{blocks: blocks, enc: c.encryption(), relaxed: relaxed, done: make(chan struct{})}
	c.log.queue.submit(c.log, r)
	return r.length, r.err
}

// AppendSigned adds blocks with a signature that was made elsewhere, for logs
// that need several signers: it must cover exactly the length after the blocks.
// See [Core.Signable].
func (c *Core) AppendSigned(ctx context.Context, signature []byte, blocks ...[]byte) (length uint64, err error) {
	if c.readOnly || c.pinned() {
		return 0, ErrNotWritable
	}
	if err := c.checkBlocks(blocks); err != nil {
		return 0, err
	}
	r := &appendRequest{blocks: blocks, enc: c.encryption()}
	l := c.log
	l.change.Lock()
	defer l.change.Unlock()
	l.appendLocked([]*appendRequest{r}, signature)
	return r.length, r.err
}

// Signable returns what a signer of this log has to sign for it to grow by
// blocks, which have to be appended in exactly this form.
func (c *Core) Signable(blocks ...[]byte) (hypercrypto.TreeState, error) {
	h := c.log.state()
	t := h.Clone()
	for _, b := range c.sealed(&h, blocks) {
		t.Append(merkle.Leaf(t.Length, b), nil)
	}
	return t.State(), nil
}

func (c *Core) sealed(h *head, blocks [][]byte) [][]byte {
	enc := c.encryption()
	if enc == nil {
		return blocks
	}
	out := make([][]byte, len(blocks))
	for i, b := range blocks {
		out[i], _ = seal(enc, h.Length+uint64(i), h.Fork, b)
	}
	return out
}

func (c *Core) appendable(blocks [][]byte) error {
	if err := c.open(); err != nil {
		return err
	}
	if c.readOnly || c.snap != nil {
		return ErrNotWritable
	}
	return c.checkBlocks(blocks)
}

func (c *Core) checkBlocks(blocks [][]byte) error {
	padding := c.Padding()
	for i, b := range blocks {
		if len(b)+padding > MaxBlockSize {
			return fmt.Errorf("%w: block %d has %d bytes, %d are possible", ErrTooLarge, i, len(b), MaxBlockSize-padding)
		}
	}
	return nil
}

// appendRequest is one call of Append.
type appendRequest struct {
	blocks  [][]byte
	enc     hypercrypto.BlockEncryption
	relaxed bool // whatever the log's durability

	done   chan struct{} // closed when length and err are set
	lead   bool          // set before done: this call serves the queue next
	length uint64
	err    error
}

// appendQueue joins concurrent appends: one caller at a time leads and commits
// what all callers queued meanwhile.
type appendQueue struct {
	mu      sync.Mutex
	waiting []*appendRequest
	leading bool
}

// maxJoined bounds the bytes of joined appends in one commit.
const maxJoined = 4 << 20

func (q *appendQueue) submit(l *log, r *appendRequest) {
	q.mu.Lock()
	q.waiting = append(q.waiting, r)
	if q.leading {
		q.mu.Unlock()
		<-r.done
		if !r.lead {
			return
		}
		r.done = make(chan struct{})
	} else {
		q.leading = true
		q.mu.Unlock()
	}
	group := q.take()
	l.change.Lock()
	l.appendLocked(group, nil)
	l.change.Unlock()
	q.handOver()
	for _, g := range group {
		close(g.done)
	}
}

// take removes the next group from the queue; the caller leads, so its own
// request is the first.
func (q *appendQueue) take() []*appendRequest {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, n := 0, 0
	for _, r := range q.waiting {
		for _, b := range r.blocks {
			size += len(b)
		}
		if n > 0 && size > maxJoined {
			break
		}
		n++
	}
	group := q.waiting[:n:n]
	q.waiting = append([]*appendRequest(nil), q.waiting[n:]...)
	return group
}

// handOver makes the first waiting caller the leader.
func (q *appendQueue) handOver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.leading = false
		return
	}
	next := q.waiting[0]
	next.lead = true
	close(next.done)
}

// appendLocked commits the blocks of a group of calls as one change and sets
// their results. l.change must be held. signature is nil unless it was made
// elsewhere.
func (l *log) appendLocked(group []*appendRequest, signature []byte) {
	fail := func(err error) {
		for _, r := range group {
			r.err = err
		}
	}
	if err := l.usable(); err != nil {
		fail(err)
		return
	}
	old := l.state()
	var blocks [][]byte
	if len(group) == 1 && group[0].enc == nil {
		blocks = group[0].blocks
	} else {
		for _, r := range group {
			for _, b := range r.blocks {
				if r.enc != nil {
					var err error
					if b, err = seal(r.enc, old.Length+uint64(len(blocks)), old.Fork, b); err != nil {
						fail(err)
						return
					}
				}
				blocks = append(blocks, b)
			}
		}
	}
	h, nodes := grow(&old, blocks)
	var err error
	if h.signature, err = l.sign(&h.Tree, signature); err != nil {
		fail(err)
		return
	}
	b := l.db.NewBatch()
	defer b.Close()
	b.PutBlocks(l.st, old.Length, blocks)
	b.PutNodes(l.st, nodes)
	b.SetHead(l.st, l.record(&h))
	mode := storage.Relaxed
	for _, r := range group {
		if !r.relaxed {
			mode = l.durability()
		}
	}
	if err := l.commit(b, mode); err != nil {
		fail(err)
		return
	}
	at := old.Length
	for _, r := range group {
		at += uint64(len(r.blocks))
		r.length = at
	}
	l.grown(&h, mode)
}

// grown takes a committed longer head and tells everybody.
func (l *log) grown(h *head, mode storage.Mode) {
	l.mu.Lock()
	l.head = *h
	l.mu.Unlock()
	l.events.emit(Event{Type: EventAppend, Length: h.Length, Fork: h.Fork})
	l.publish(mode == storage.Durable)
	l.repl.grew()
}

// durability is the mode of own changes.
func (l *log) durability() storage.Mode {
	if l.opts.Relaxed {
		return storage.Relaxed
	}
	return storage.Durable
}

// sign returns the stored signature over t: the given one if it is valid, else
// one made with the key pair.
func (l *log) sign(t *merkle.Tree, given []byte) ([]byte, error) {
	l.mu.RLock()
	rules, kp := l.rules, l.keyPair
	l.mu.RUnlock()
	if rules == nil {
		return nil, ErrNotWritable
	}
	if given != nil {
		if !rules.Verify(t.State(), given, nil) {
			return nil, fmt.Errorf("%w: %w", merkle.ErrSignature, ErrNeedsSignature)
		}
		return given, nil
	}
	if kp == nil {
		return nil, ErrNotWritable
	}
	if !rules.CanSign(kp.Public) {
		return nil, ErrNeedsSignature
	}
	return rules.Sign(t.State(), kp)
}

// grow returns the unsigned head after blocks, and the new nodes.
func grow(old *head, blocks [][]byte) (head, []merkle.Node) {
	leaves := hashLeaves(old.Length, blocks)
	h := head{Tree: old.Clone()}
	nodes := make([]merkle.Node, 0, 2*len(blocks)+2)
	for i := range leaves {
		nodes = h.Append(leaves[i], nodes)
	}
	return h, nodes
}

// hashLeaves returns the leaves over consecutive blocks.
func hashLeaves(start uint64, blocks [][]byte) []merkle.Node {
	leaves := make([]merkle.Node, len(blocks))
	size := 0
	for _, b := range blocks {
		size += len(b)
	}
	inParallel(len(blocks), size, func(from, to int) {
		merkle.Leaves(leaves[from:to], start+uint64(from), blocks[from:to])
	})
	return leaves
}

// hashInParallel is the number of bytes from which on hashing on several cores
// is worth its overhead.
const hashInParallel = 256 << 10

// inParallel calls work for parts of [0, n), on several cores if there are many
// bytes to hash, and waits for them. A core gets as many blocks as it hashes side by
// side: with fewer it would be busy for nearly as long.
func inParallel(n, bytes int, work func(from, to int)) {
	lanes := hypercrypto.LeafLanes()
	workers := min(runtime.GOMAXPROCS(0), bytes/hashInParallel+1, (n+lanes-1)/lanes)
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { work(n*w/workers, n*(w+1)/workers) })
	}
	if n > 0 {
		work(0, n/workers)
	}
	wg.Wait()
}

// seal returns the stored form of a block.
func seal(enc hypercrypto.BlockEncryption, index, fork uint64, block []byte) ([]byte, error) {
	padding := enc.Padding()
	stored := make([]byte, padding+len(block))
	copy(stored[padding:], block)
	if err := enc.Encrypt(index, fork, stored); err != nil {
		return nil, fmt.Errorf("encrypt block %d: %w", index, err)
	}
	return stored, nil
}
