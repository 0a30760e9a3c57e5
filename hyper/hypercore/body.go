package hypercore

import (
	"math/bits"
	"sync"
)

// Bodies of messages with blocks live from their arrival until the blocks are
// stored. The memory of most is used again: at full speed it would be most of
// what is allocated.
const (
	bodyUnit    = 9 << 10 // 2^n units have room for a block of 2^n KiB and its proof
	bodyClasses = 6
)

var bodies [bodyClasses]sync.Pool

// body is a copy of the body of a message.
type body struct {
	data  []byte
	class int // -1: not to be used again
}

// copyBody copies a message.
func copyBody(b []byte) *body {
	class := bits.Len(uint(max(len(b), 1)-1) / bodyUnit)
	if class >= bodyClasses || len(b) < bodyUnit/2 {
		return &body{data: append([]byte(nil), b...), class: -1}
	}
	c, _ := bodies[class].Get().(*body)
	if c == nil {
		c = &body{data: make([]byte, bodyUnit<<class), class: class}
	}
	c.data = c.data[:copy(c.data[:cap(c.data)], b)]
	return c
}

// release gives the memory back. Nothing may point into it any more.
func (b *body) release() {
	if b.class >= 0 {
		bodies[b.class].Put(b)
	}
}
