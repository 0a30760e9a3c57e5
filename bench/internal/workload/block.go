package workload

import "encoding/binary"

const poolSize = 16 << 20

// Pool is the source of all blocks. It is safe for concurrent use.
type Pool struct{ data []byte }

// NewPool computes the pool, which takes some 20 ms.
func NewPool() *Pool {
	p := &Pool{data: make([]byte, poolSize)}
	x := uint32(1)
	for i := 0; i < poolSize; i += 4 {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		binary.LittleEndian.PutUint32(p.data[i:], x)
	}
	return p
}

// Block returns block i of size bytes, below 16 MiB. It is a new slice.
func (p *Pool) Block(i uint64, size int) []byte {
	b := make([]byte, size)
	copy(b, p.data[i*63352%uint64(poolSize-size):])
	if size >= 8 {
		binary.LittleEndian.PutUint64(b, i)
	}
	return b
}
