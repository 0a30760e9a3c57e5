package blake2x4

const (
	// Lanes is the number of messages that are hashed side by side.
	Lanes = 4
	// BlockSize is the number of bytes that one compression takes of each.
	BlockSize = 128
)

// State is the state of four hashes. The words of one lane belong together.
type State struct {
	H     [8][Lanes]uint64 // chained value
	Count [Lanes]uint64    // bytes hashed so far
	Final [Lanes]uint64    // all ones for the last block of a message, else 0
}

var iv = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// Start begins a message in a lane: a hash of 32 bytes, without a key.
func (s *State) Start(lane int) {
	for w := range s.H {
		s.H[w][lane] = iv[w]
	}
	s.H[0][lane] ^= 0x01010000 ^ 32
	s.Count[lane], s.Final[lane] = 0, 0
}

// Compress takes n blocks of each lane, which lie one behind the other from
// in[lane] on. Count is advanced by BlockSize before each: for the last block of
// a message, the caller sets it so that it becomes the length of the message.
func (s *State) Compress(in *[Lanes]*byte, n int) { compress(s, in, n) }
