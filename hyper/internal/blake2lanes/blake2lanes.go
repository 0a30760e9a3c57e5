package blake2lanes

import "encoding/binary"

const (
	// MaxLanes is the most messages that any machine hashes side by side.
	MaxLanes = 8
	// BlockSize is the number of bytes that one compression takes of each.
	BlockSize = 128
	// Size is the length of a hash in bytes.
	Size = 32
)

// State is the state of as many hashes as there are lanes. A message has one lane from
// Start to Sum, unless it is moved.
type State struct {
	h     [8][MaxLanes]uint64 // chained value
	count [MaxLanes]uint64    // bytes hashed so far
	final [MaxLanes]uint64    // all ones for the last block of a message, else 0
}

var iv = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// Start begins a message in a lane: a hash of Size bytes, without a key.
func (s *State) Start(lane int) {
	for w := range s.h {
		s.h[w][lane] = iv[w]
	}
	s.h[0][lane] ^= 0x01010000 ^ Size
	s.count[lane], s.final[lane] = 0, 0
}

// Finish tells that the next block is the last of a message of so many bytes. What the
// block has behind them must be zeros.
func (s *State) Finish(lane int, length uint64) {
	s.count[lane], s.final[lane] = length-BlockSize, ^uint64(0)
}

// Move gives a message another lane.
func (s *State) Move(to, from int) {
	for w := range s.h {
		s.h[w][to] = s.h[w][from]
	}
	s.count[to], s.final[to] = s.count[from], s.final[from]
}

// Sum sets hash to that of the message in a lane, of which all is compressed.
func (s *State) Sum(lane int, hash *[Size]byte) {
	for w := range Size / 8 {
		binary.LittleEndian.PutUint64(hash[8*w:], s.h[w][lane])
	}
}

// Compress takes the first n blocks, at least one, of in[lane] for every lane of in, of
// which there are at least one and at most [Lanes]. A last block is taken alone. Up to
// four lanes take less time than more do.
func (s *State) Compress(in [][]byte, n int) {
	if len(in) < 1 || len(in) > Lanes() || n < 1 {
		panic("blake2lanes: no such lanes or blocks")
	}
	var from [MaxLanes]*byte
	for lane, b := range in {
		if len(b)/BlockSize < n {
			panic("blake2lanes: a lane has fewer blocks")
		}
		from[lane] = &b[0]
	}
	for lane := len(in); lane < MaxLanes; lane++ {
		from[lane] = from[0] // of no use, but to be read as far as the others
	}
	compress(len(in), s, &from, n)
}
