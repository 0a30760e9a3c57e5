package udx

import "encoding/binary"

const (
	magic   = 0xff
	version = 1

	headerSize = 20
	// ipOverhead is what IPv4 and UDP add to a datagram.
	ipOverhead = 28
	// overhead is what a packet of the size of the path has beside data.
	overhead = ipOverhead + headerSize

	// maxBlocks is the largest number of SACK blocks in a packet.
	maxBlocks = 50
	blockSize = 8
	maxAck    = headerSize + maxBlocks*blockSize
)

const (
	flagData = 1 << iota
	flagEnd
	flagSack
	flagMessage
	flagDestroy
	flagHeartbeat
)

// header is the fixed part of every packet:
//
//	0   magic, version, flags, length of what stands before the data
//	4   id of the stream at the receiver, u32, little endian like all
//	8   receive window in bytes, u32
//	12  number of this packet, or the next one for packets without a number
//	16  number of the next packet expected
type header struct {
	flags  byte
	offset byte
	id     uint32
	window uint32
	seq    uint32
	ack    uint32
}

// parse decodes the header of a datagram. ok is false if it is not a packet.
func parse(b []byte) (h header, ok bool) {
	if len(b) < headerSize || b[0] != magic || b[1] != version {
		return header{}, false
	}
	return header{
		flags:  b[2],
		offset: b[3],
		id:     binary.LittleEndian.Uint32(b[4:]),
		window: binary.LittleEndian.Uint32(b[8:]),
		seq:    binary.LittleEndian.Uint32(b[12:]),
		ack:    binary.LittleEndian.Uint32(b[16:]),
	}, true
}

// put writes the header to the first headerSize bytes of b.
func (h *header) put(b []byte) {
	b = b[:headerSize]
	b[0], b[1], b[2], b[3] = magic, version, h.flags, h.offset
	binary.LittleEndian.PutUint32(b[4:], h.id)
	binary.LittleEndian.PutUint32(b[8:], h.window)
	binary.LittleEndian.PutUint32(b[12:], h.seq)
	binary.LittleEndian.PutUint32(b[16:], h.ack)
}

// split takes the datagram b with header h apart: SACK blocks and data. ok is
// false if the header promises more than there is.
func (h *header) split(b []byte) (blocks, data []byte, ok bool) {
	rest := b[headerSize:]
	if int(h.offset) > len(rest) {
		return nil, nil, false
	}
	data = rest[h.offset:]
	if h.flags&flagSack == 0 {
		return nil, data, true
	}
	if h.flags&(flagData|flagMessage) == 0 && h.offset == 0 {
		return rest, nil, true
	}
	return rest[:h.offset], data, true
}

// span is a range of packet numbers; end is exclusive.
type span struct{ start, end uint32 }

// block decodes the first SACK block of b.
func block(b []byte) span {
	return span{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
}

func (s span) put(b []byte) {
	binary.LittleEndian.PutUint32(b, s.start)
	binary.LittleEndian.PutUint32(b[4:], s.end)
}

// before compares packet numbers, which wrap around.
func before(a, b uint32) bool { return int32(a-b) < 0 }
