package udx

import "time"

const (
	maxMTU  = 1500
	baseMTU = 1200

	// maxPayload is the largest amount of data in one packet.
	maxPayload = maxMTU - overhead

	// maxAccepted is the largest amount of data accepted in one packet.
	maxAccepted = 2048 - headerSize

	chunkSize = 16<<10 - 32
)

// packet is data on its way out, in a buffer with room for the header.
type packet struct {
	next, prev *packet // in the list it is in
	list       *packets

	path  *path  // where it was sent to first
	seq   uint32 // set when sent first
	flags byte

	retransmitted bool
	timeouts      uint8
	probe         int // size of the IP packet if it was padded to learn the MTU

	sentAt time.Duration
	rate   rateStamp

	start, end int // the data is buf[start:end]
	buf        [headerSize + maxPayload]byte
}

func (p *packet) data() []byte { return p.buf[p.start:p.end] }

// size is the number of bytes the packet occupies on the way.
func (p *packet) size() int { return p.end - p.start + overhead }

// packets is a list of packets; a packet is in one list at most.
type packets struct {
	first, last *packet
}

func (l *packets) push(p *packet) {
	p.list, p.prev, p.next = l, l.last, nil
	if l.last != nil {
		l.last.next = p
	} else {
		l.first = p
	}
	l.last = p
}

func (p *packet) unlink() {
	l := p.list
	if l == nil {
		return
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		l.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		l.last = p.prev
	}
	p.list, p.prev, p.next = nil, nil, nil
}

// early is data that came before its turn.
type early struct {
	size int
	buf  [maxAccepted]byte
}

// chunk is a piece of received data.
type chunk struct {
	next *chunk
	r, w int // buf[r:w] is unread
	buf  [chunkSize]byte
}

func (t *Transport) newPacket() *packet {
	p := t.packets.Get().(*packet)
	p.start, p.end = headerSize, headerSize
	p.flags, p.retransmitted, p.timeouts, p.probe = flagData, false, 0, 0
	return p
}

func (t *Transport) freePacket(p *packet) {
	p.path = nil
	t.packets.Put(p)
}

func (t *Transport) newEarly() *early {
	t.received.Add(maxAccepted)
	return t.earlies.Get().(*early)
}

func (t *Transport) freeEarly(e *early) {
	t.received.Add(-maxAccepted)
	t.earlies.Put(e)
}

func (t *Transport) freeChunk(c *chunk) {
	c.next = nil
	t.received.Add(-chunkSize)
	t.chunks.Put(c)
}

func (t *Transport) newChunk() *chunk {
	t.received.Add(chunkSize)
	c := t.chunks.Get().(*chunk)
	c.next, c.r, c.w = nil, 0, 0
	return c
}
