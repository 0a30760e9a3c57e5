package hyperblobs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
)

// BlockSize is the size of the blocks of a plain blob; the last one is shorter.
const BlockSize = 64 << 10

// groupBytes is how much goes into one append: large enough that a signature and
// a commit cost little, small enough to keep several groups in memory.
const groupBytes = 2 << 20

// Blobs reads and writes the blobs of one log. It is safe for concurrent use.
// Blobs may be written at the same time, but only through one Blobs per log: a
// blob's position is known only if nobody else appends.
type Blobs struct {
	core  *hypercore.Core
	local bool // reads never wait for peers

	relaxed bool // appends are

	layouts *layouts // has its own lock; shared with LocalOnly

	// mu is held around every append, so that the log's length before it is
	// where the blob begins. A plain stream holds it until it ends.
	mu sync.Mutex
}

// New returns the blobs of core, which stays the caller's to close.
func New(core *hypercore.Core) *Blobs { return &Blobs{core: core, layouts: new(layouts)} }

// NewRelaxed is New for contents that count only after a later durable change to the
// same store names them: writing returns before the blocks are durable, see
// [hypercore.Core.AppendRelaxed].
func NewRelaxed(core *hypercore.Core) *Blobs {
	b := New(core)
	b.relaxed = true
	return b
}

// LocalOnly returns the same blobs for reading what is held here: reads that
// would wait for a peer fail with [hypercore.ErrNotAvailable].
func (b *Blobs) LocalOnly() *Blobs { return &Blobs{core: b.core, local: true, layouts: b.layouts} }

// block returns a block of the log, in buf if it is held here and fits.
func (b *Blobs) block(ctx context.Context, buf []byte, i uint64) ([]byte, error) {
	data, err := b.core.AppendLocal(buf[:0], i)
	if b.local || !errors.Is(err, hypercore.ErrNotAvailable) {
		return data, err
	}
	return b.core.Get(ctx, i)
}

// checkHere is check, and refuses a blob beyond the end of a log that nobody but
// its owner, here, makes longer: waiting for it would take forever.
func (b *Blobs) checkHere(id ID) error {
	if err := id.check(); err != nil {
		return err
	}
	if length := b.core.Length(); id.End() > length && (b.local || b.core.Writable()) {
		return fmt.Errorf("%w: ends at block %d of %d", ErrInvalid, id.End(), length)
	}
	return nil
}

// Core returns the log.
func (b *Blobs) Core() *hypercore.Core { return b.core }

// appendLocked appends blocks, which the caller may reuse afterwards, and returns
// where they begin. b.mu must be held.
func (b *Blobs) appendLocked(ctx context.Context, blocks [][]byte) (blockOffset, byteOffset uint64, err error) {
	byteOffset = b.core.ByteLength()
	before := b.core.Length()
	add := b.core.Append
	if b.relaxed {
		add = b.core.AppendRelaxed
	}
	after, err := add(ctx, blocks...)
	if err != nil {
		return 0, 0, fmt.Errorf("append %d blocks: %w", len(blocks), err)
	}
	if after != before+uint64(len(blocks)) {
		return 0, 0, fmt.Errorf("append %d blocks at %d: the log has another writer", len(blocks), before)
	}
	return before, byteOffset, nil
}

// Put appends data as one plain blob, in a single atomic append. data may be
// reused afterwards.
func (b *Blobs) Put(ctx context.Context, data []byte) (ID, error) {
	return b.putSized(ctx, data, BlockSize)
}

func (b *Blobs) putSized(ctx context.Context, data []byte, blockSize int) (ID, error) {
	batch := Batch{b: b, blockSize: blockSize}
	batch.Add(data)
	ids, err := batch.Flush(ctx)
	if err != nil {
		return ID{}, err
	}
	return ids[0], nil
}

// Batch collects plain blobs that are appended together, which for small ones
// costs far less than one append each. It is not safe for concurrent use.
type Batch struct {
	b         *Blobs
	blockSize int
	blocks    [][]byte
	ids       []ID // offsets relative to the first block until Flush
	bytes     uint64
}

// Batch returns an empty batch.
func (b *Blobs) Batch() *Batch { return &Batch{b: b, blockSize: BlockSize} }

// Add adds a blob and returns its position in what Flush returns. The batch
// refers to data until then.
func (t *Batch) Add(data []byte) int {
	id := ID{BlockOffset: uint64(len(t.blocks)), ByteOffset: t.bytes, ByteLength: uint64(len(data))}
	t.bytes += id.ByteLength
	for len(data) > 0 {
		n := min(len(data), t.blockSize)
		t.blocks = append(t.blocks, data[:n:n])
		data = data[n:]
	}
	id.BlockLength = uint64(len(t.blocks)) - id.BlockOffset
	t.ids = append(t.ids, id)
	return len(t.ids) - 1
}

// Bytes returns the content bytes that wait to be flushed.
func (t *Batch) Bytes() uint64 { return t.bytes }

// Len returns the number of blobs that wait to be flushed.
func (t *Batch) Len() int { return len(t.ids) }

// Flush appends all blobs in one atomic append and empties the batch. The IDs
// are in the order of the Add calls.
func (t *Batch) Flush(ctx context.Context) ([]ID, error) {
	blocks, ids := t.blocks, t.ids
	t.blocks, t.ids, t.bytes = nil, nil, 0
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	blockOffset, byteOffset := t.b.core.Length(), t.b.core.ByteLength()
	if len(blocks) > 0 {
		var err error
		if blockOffset, byteOffset, err = t.b.appendLocked(ctx, blocks); err != nil {
			return nil, err
		}
	}
	for i := range ids {
		ids[i].BlockOffset += blockOffset
		ids[i].ByteOffset += byteOffset
	}
	return ids, nil
}
