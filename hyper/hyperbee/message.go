package hyperbee

import "fmt"

// The messages of the "hyperbee" extension:
//
//	Message  { 1: Cache, 2: Get, 3: Iterator }
//	Cache    { 1: start, 2: end, 3: packed blocks }
//	Get      { 1: version, 2: key }
//	Iterator { 1: version, 2: gte, 3: gt, 4: lte, 5: lt, 6: limit, 7: reverse, 8: packed checkpoint }
//
// A Cache names the blocks that a read needs. A Get or an Iterator asks for
// them. The checkpoint is the place an iterator has come to: for each node on
// its path the block, the level and the position (see frame).

const (
	// maxMessage, maxMessageBlocks and maxCheckpoint bound what is accepted; a
	// responder sends 128 blocks per message.
	maxMessage       = 64 << 10
	maxMessageBlocks = 4096
	maxCheckpoint    = 3 * maxDepth
)

// message has at most one field set.
type message struct {
	cache    *cacheMessage
	get      *getMessage
	iterator *iteratorMessage
}

type cacheMessage struct {
	start, end uint64
	blocks     []uint64
}

type getMessage struct {
	version uint64
	key     []byte
}

type iteratorMessage struct {
	version          uint64
	gte, gt, lte, lt []byte // nil when absent
	limit            uint64 // 0 is no limit
	reverse          bool
	checkpoint       []uint64
}

func (m message) append(b []byte) []byte {
	if m.cache != nil {
		b = appendBytes(b, 1, m.cache.append(nil))
	}
	if m.get != nil {
		b = appendBytes(b, 2, m.get.append(nil))
	}
	if m.iterator != nil {
		b = appendBytes(b, 3, m.iterator.append(nil))
	}
	return b
}

func (m *cacheMessage) append(b []byte) []byte {
	b = appendNumber(b, 1, m.start)
	b = appendNumber(b, 2, m.end)
	return appendPacked(b, 3, m.blocks)
}

func (m *getMessage) append(b []byte) []byte {
	return appendBytes(appendNumber(b, 1, m.version), 2, m.key)
}

func (m *iteratorMessage) append(b []byte) []byte {
	b = appendNumber(b, 1, m.version)
	for i, bound := range [][]byte{m.gte, m.gt, m.lte, m.lt} {
		if bound != nil {
			b = appendBytes(b, byte(2+i), bound)
		}
	}
	b = appendNumber(b, 6, m.limit)
	reverse := uint64(0)
	if m.reverse {
		reverse = 1
	}
	b = appendNumber(b, 7, reverse)
	return appendPacked(b, 8, m.checkpoint)
}

func appendPacked(b []byte, field byte, nums []uint64) []byte {
	if len(nums) == 0 {
		return b
	}
	size := 0
	for _, n := range nums {
		size += sizeVarint(n)
	}
	b = append(b, field<<3|wireBytes)
	b = appendVarint(b, uint64(size))
	for _, n := range nums {
		b = appendVarint(b, n)
	}
	return b
}

// decodeMessage decodes a message of a peer. The result refers to b.
func decodeMessage(b []byte) (m message, err error) {
	if len(b) > maxMessage {
		return m, fmt.Errorf("hyperbee: message of %d bytes", len(b))
	}
	f := fields{rest: b}
	for err == nil && f.next() {
		if f.data == nil {
			continue
		}
		switch f.field {
		case 1:
			m.cache, err = decodeCache(f.data)
		case 2:
			m.get, err = decodeGet(f.data)
		case 3:
			m.iterator, err = decodeIterator(f.data)
		}
	}
	if err == nil {
		err = f.err
	}
	return m, err
}

func decodeCache(b []byte) (*cacheMessage, error) {
	m := &cacheMessage{}
	f := fields{rest: b}
	for f.next() {
		switch f.field {
		case 1:
			m.start = f.num
		case 2:
			m.end = f.num
		case 3:
			if m.blocks = f.packed(m.blocks, maxMessageBlocks); f.err != nil {
				return nil, f.err
			}
		}
	}
	return m, f.err
}

func decodeGet(b []byte) (*getMessage, error) {
	m := &getMessage{key: []byte{}}
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.field == 1:
			m.version = f.num
		case f.field == 2 && f.data != nil:
			m.key = f.data
		}
	}
	return m, f.err
}

func decodeIterator(b []byte) (*iteratorMessage, error) {
	m := &iteratorMessage{}
	f := fields{rest: b}
	for f.next() {
		switch f.field {
		case 1:
			m.version = f.num
		case 2:
			m.gte = f.data
		case 3:
			m.gt = f.data
		case 4:
			m.lte = f.data
		case 5:
			m.lt = f.data
		case 6:
			m.limit = f.num
		case 7:
			m.reverse = f.num != 0
		case 8:
			if m.checkpoint = f.packed(m.checkpoint, maxCheckpoint); f.err != nil {
				return nil, f.err
			}
		}
	}
	if f.err == nil && len(m.checkpoint)%3 != 0 {
		f.fail("checkpoint")
	}
	return m, f.err
}

// packed appends the numbers of the current field to nums, at most limit.
func (f *fields) packed(nums []uint64, limit int) []uint64 {
	for b := f.data; len(b) > 0; {
		v, n := varint(b)
		if n == 0 || len(nums) == limit {
			f.fail("packed numbers")
			return nil
		}
		nums, b = append(nums, v), b[n:]
	}
	return nums
}
