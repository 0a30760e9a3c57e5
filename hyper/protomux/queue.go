package protomux

import (
	"slices"
	"sync"

	"github.com/tradle/cloudpal/hyper/compact"
)

const (
	// maxBatch is the payload at which a batch is complete. A block of 64 KiB has
	// a frame of its own then, whose length is mostly a multiple of 8: encryption
	// handles that in one pass instead of two.
	maxBatch = 64 << 10

	// Buffers are for a few messages, for a batch, and for a message that is larger
	// than a batch, as blocks of drives are: up to 160 KiB.
	smallBuffer  = 8 << 10
	mediumBuffer = maxBatch + 32<<10
	largeBuffer  = 192 << 10

	// itemCost bounds what an item adds to its body: switch of channel, size and
	// type, and the room for encryption.
	itemCost = 10 + 9 + 9 + Tailroom
)

// Frames are short-lived and every connection needs a few when it is busy and
// none when it is not: the buffers are shared by all.
var bufferPools [3]sync.Pool

var bufferSizes = [...]int{smallBuffer, mediumBuffer, largeBuffer}

type buffer struct{ b []byte }

func getBuffer(size int) *buffer {
	for i, n := range bufferSizes {
		if size <= n {
			if b, ok := bufferPools[i].Get().(*buffer); ok {
				return b
			}
			return &buffer{make([]byte, n)}
		}
	}
	return &buffer{make([]byte, size)}
}

func putBuffer(b *buffer) {
	if i := slices.Index(bufferSizes[:], len(b.b)); i >= 0 {
		bufferPools[i].Put(b)
	}
}

// queue holds what waits to be written: finished frames and the batch that is
// being filled. The mux's mu guards it.
//
// The batch is encoded in place behind Headroom bytes:
//
//	00 00 | channel | { size | type | body  or  00 | channel } ...
//
// If it holds a single message when it is finished, that becomes a plain frame.
type queue struct {
	frames  [][]byte  // finished
	buffers []*buffer // what they live in
	size    int       // bytes in finished frames, those being written included
	total   uint64    // bytes ever finished
	written uint64    // bytes of those ever written
	corked  int
	idle    bool // the writer waits for wakeWriter

	// The batch. No items: no buffer.
	buf     []byte // may have outgrown its buffer
	home    *buffer
	items   int
	first   uint64 // channel of the first item
	body    int    // where the type of the first item begins
	channel uint64 // channel of the last item

	// The item under way.
	mark   int // where it begins, with its switch of channel
	prefix int // where its size begins
	start  int // where its type begins
}

// begin starts an item; the caller appends size bytes, more or less, to buf and
// calls end.
func (q *queue) begin(channel, typ uint64, size int) {
	need := size + itemCost
	if q.items > 0 {
		have := len(q.buf)
		// Copying is better than many small frames, up to a point.
		if have-Headroom+size > maxBatch || cap(q.buf)-have < need && have > smallBuffer {
			q.finish()
		}
	}
	if q.items == 0 {
		if q.home == nil {
			q.home = getBuffer(Headroom + 2 + need)
			q.buf = q.home.b
		}
		q.buf = append(q.buf[:Headroom], 0, controlBatch)
		q.buf = compact.AppendUint(q.buf, channel)
		q.first = channel
		q.mark = len(q.buf)
	} else {
		q.mark = len(q.buf)
		if cap(q.buf)-len(q.buf) < need {
			q.grow(len(q.buf) + need)
		}
		if channel != q.channel {
			q.buf = append(q.buf, 0)
			q.buf = compact.AppendUint(q.buf, channel)
		}
	}
	q.channel = channel
	q.prefix = len(q.buf)
	q.start = q.prefix + compact.SizeUint(uint64(size+compact.SizeUint(typ)))
	q.buf = compact.AppendUint(q.buf[:q.start], typ)
}

// grow moves the batch to a larger buffer.
func (q *queue) grow(size int) {
	home := getBuffer(max(size, smallBuffer+1))
	buf := home.b[:copy(home.b, q.buf)]
	putBuffer(q.home)
	q.home, q.buf = home, buf
}

// end completes the item. It returns false if no frame can hold it; the item is
// gone then.
func (q *queue) end() bool {
	n := len(q.buf) - q.start
	if size := compact.SizeUint(uint64(n)); size != q.start-q.prefix {
		// The guess was wrong: move the item to where it belongs.
		var pad [9]byte
		q.buf = append(q.buf, pad[:]...)
		copy(q.buf[q.prefix+size:], q.buf[q.start:q.start+n])
		q.start = q.prefix + size
		q.buf = q.buf[:q.start+n]
	}
	compact.AppendUint(q.buf[:q.prefix], uint64(n))
	q.items++
	if q.items == 1 {
		q.body = q.start
		if n+compact.SizeUint(q.first) > MaxFrame {
			q.items = 0
			q.recycle()
			return false
		}
		return true
	}
	if len(q.buf)-Headroom <= MaxFrame {
		return true
	}
	// It fits only alone.
	item := q.buf[q.start:]
	q.buf = q.buf[:q.mark]
	q.items--
	channel := q.channel
	old := q.home
	q.home = nil // item lives in it
	q.finishIn(old)
	q.home = getBuffer(Headroom + 2 + itemCost + len(item))
	q.buf = append(q.home.b[:Headroom], 0, controlBatch)
	q.buf = compact.AppendUint(q.buf, channel)
	q.first, q.channel = channel, channel
	q.mark, q.prefix = len(q.buf), len(q.buf)
	q.buf = compact.AppendUint(q.buf, uint64(len(item)))
	q.start = len(q.buf)
	q.buf = append(q.buf, item...)
	q.items, q.body = 1, q.start
	if len(item)+compact.SizeUint(channel) > MaxFrame {
		q.items = 0
		q.recycle()
		return false
	}
	return true
}

// finish makes a frame of the batch, if it has items.
func (q *queue) finish() {
	if q.items > 0 {
		home := q.home
		q.home = nil
		q.finishIn(home)
	}
}

func (q *queue) finishIn(home *buffer) {
	buf := q.buf
	if q.items == 1 {
		at := q.body - compact.SizeUint(q.first)
		compact.AppendUint(buf[:at], q.first)
		buf = buf[at-Headroom:]
	}
	if cap(buf)-len(buf) < Tailroom {
		var tail [Tailroom]byte
		buf = append(buf, tail[:]...)[:len(buf)]
	}
	q.frames = append(q.frames, buf)
	q.buffers = append(q.buffers, home)
	q.size += len(buf)
	q.total += uint64(len(buf))
	q.buf, q.items = nil, 0
}

// recycle drops the batch.
func (q *queue) recycle() {
	if q.home != nil {
		putBuffer(q.home)
	}
	q.home, q.buf = nil, nil
}

// waiting is the number of bytes not yet written.
func (q *queue) waiting() int {
	if q.items == 0 {
		return q.size
	}
	return q.size + len(q.buf)
}

// drop forgets everything.
func (q *queue) drop() { *q = queue{corked: q.corked} }
