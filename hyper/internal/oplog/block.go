package oplog

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrBlock is the error of a block that is no node.
var ErrBlock = errors.New("oplog: invalid block")

// Version is that of the blocks that are written.
const Version = 2

// MaxHeads bounds the heads of a node. A node has as many heads as there were
// writers at once without knowing of each other.
const MaxHeads = 4096

// Ref names a node: the key of its log, and the log's length with it.
type Ref struct {
	Key    hypercrypto.Key
	Length uint64
}

func (r Ref) appendTo(b []byte) []byte {
	return compact.AppendUint(append(b, r.Key[:]...), r.Length)
}

// Block is one block of a writer's log.
//
//	uint 2, node, uint flags (1 checkpoint, 2 digest, 4 optimistic, 8 trace),
//	[buffer checkpoint] [buffer digest] [buffer trace]
//
//	node: uint count, { 32 key, uint length } …, uint batch, buffer value
type Block struct {
	// Heads are the nodes without a successor that the writer knew.
	Heads []Ref
	// Batch counts down to 1 over the blocks of one append.
	Batch uint64
	// Value is the application's; nil is an acknowledgement. There are no empty
	// values.
	Value []byte
	// Checkpoint are the writer's signatures over the views; nil if it is no
	// indexer.
	Checkpoint *Checkpoint
	// Digest names the system core; nil if nothing does.
	Digest *Digest
	// Optimistic blocks are by somebody who is no member.
	Optimistic bool
}

// Flags of a block.
const (
	hasCheckpoint = 1 << iota
	hasDigest
	isOptimistic
	hasTrace
)

// AppendTo appends the encoded block, in version 2.
func (k *Block) AppendTo(b []byte) []byte {
	b = compact.AppendUint(b, Version)
	b = compact.AppendUint(b, uint64(len(k.Heads)))
	for _, h := range k.Heads {
		b = h.appendTo(b)
	}
	b = compact.AppendUint(b, k.Batch)
	b = compact.AppendBuffer(b, k.Value)
	var flags uint64
	if k.Checkpoint != nil {
		flags |= hasCheckpoint
	}
	if k.Digest != nil {
		flags |= hasDigest
	}
	if k.Optimistic {
		flags |= isOptimistic
	}
	b = compact.AppendUint(b, flags)
	if k.Checkpoint != nil {
		b = compact.AppendFrame(b, k.Checkpoint.appendTo)
	}
	if k.Digest != nil {
		b = compact.AppendFrame(b, k.Digest.appendTo)
	}
	return b
}

// Decode reads a block of any version. Slices of the result are copies. The error
// wraps [ErrBlock].
func Decode(b []byte) (*Block, error) {
	r := compact.NewReader(b)
	k := new(Block)
	switch v := r.Uint(); {
	case r.Err() != nil:
	case v == 2:
		k.decode2(&r)
	case v == 1:
		k.decode1(&r)
	case v == 0:
		k.decode0(&r)
	default:
		return nil, fmt.Errorf("%w: version %d is not known", ErrBlock, v)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBlock, err)
	}
	if k.Batch == 0 {
		return nil, fmt.Errorf("%w: batch 0", ErrBlock)
	}
	return k, nil
}

func (k *Block) decodeNode(r *compact.Reader) {
	k.Heads = decodeRefs(r, MaxHeads)
	k.Batch = r.Uint()
	if v := r.Buffer(); len(v) > 0 {
		k.Value = append([]byte(nil), v...)
	}
}

func (k *Block) decode2(r *compact.Reader) {
	k.decodeNode(r)
	flags := r.Uint()
	k.Optimistic = flags&isOptimistic != 0
	if flags&hasCheckpoint != 0 {
		k.Checkpoint = framed(r, decodeCheckpoint)
	}
	if flags&hasDigest != 0 {
		k.Digest = framed(r, decodeDigest)
	}
	// A trace is only a hint about what to fetch.
}

// framed reads a length and what decode makes of as many bytes.
func framed[T any](r *compact.Reader, decode func(*compact.Reader) *T) *T {
	f := r.Frame()
	v := decode(&f)
	if err := f.Err(); err != nil {
		r.Fail(err)
	}
	return v
}

// decodeRefs reads a count and as many references.
func decodeRefs(r *compact.Reader, most int) []Ref {
	n := r.Count(33)
	if n > most {
		r.Fail(fmt.Errorf("%d references, at most %d are possible", n, most))
		return nil
	}
	var refs []Ref
	for range n {
		refs = append(refs, Ref{Key: r.Fixed32(), Length: r.Uint()})
	}
	return refs
}

func appendRefs(b []byte, refs []Ref) []byte {
	b = compact.AppendUint(b, uint64(len(refs)))
	for _, r := range refs {
		b = r.appendTo(b)
	}
	return b
}
