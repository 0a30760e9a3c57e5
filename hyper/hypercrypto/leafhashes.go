package hypercrypto

import (
	"encoding/binary"

	"github.com/tradle/cloudpal/hyper/internal/blake2x4"
)

// LeafHashes sets dst[i] to the [LeafHash] of blocks[i]. It takes about a third
// of the time that one after the other takes, where the machine allows it.
func LeafHashes(dst []Hash, blocks [][]byte) {
	if len(blocks) < 2 || !blake2x4.Available() {
		for i, b := range blocks {
			dst[i] = LeafHash(b)
		}
		return
	}
	var l leafLanes
	next, active := 0, 0
	for {
		for lane := range l.lanes {
			if l.lanes[lane].left == 0 && next < len(blocks) {
				l.start(lane, next, blocks[next])
				next++
				active++
			}
		}
		if active == 0 {
			return
		}
		active -= l.step(dst)
	}
}

// leafHead is the size of what is hashed in front of a block: type and length.
const leafHead = 9

// leafLanes are up to four leaves that are hashed at once.
type leafLanes struct {
	state blake2x4.State
	lanes [blake2x4.Lanes]leafLane
}

// leafLane is one of them.
type leafLane struct {
	at     int    // in the list of blocks
	body   []byte // what is not hashed of the block
	left   int    // how many compressions are to come
	length uint64 // of all that is hashed
	// edge holds the first or last bytes: with the head, or filled up by zeros.
	edge [blake2x4.BlockSize]byte
}

// start begins a leaf in a free lane.
func (l *leafLanes) start(lane, at int, block []byte) {
	l.state.Start(lane)
	a := &l.lanes[lane]
	a.at, a.length = at, leafHead+uint64(len(block))
	a.left = (leafHead + len(block) + blake2x4.BlockSize - 1) / blake2x4.BlockSize
	a.edge[0] = hashTypeLeaf
	binary.LittleEndian.PutUint64(a.edge[1:], uint64(len(block)))
	n := copy(a.edge[leafHead:], block)
	clear(a.edge[leafHead+n:])
	a.body = block[n:]
}

// step goes on in all lanes, as far as none of them ends a piece of memory, and
// returns how many leaves are done.
func (l *leafLanes) step(dst []Hash) (done int) {
	var in [blake2x4.Lanes]*byte
	var any *byte
	n := 0
	for lane := range l.lanes {
		a := &l.lanes[lane]
		if a.left == 0 {
			continue
		}
		run := 1
		switch {
		case l.state.Count[lane] == 0: // the head is there
			in[lane] = &a.edge[0]
		case a.left > 1:
			in[lane], run = &a.body[0], a.left-1
		default:
			clear(a.edge[copy(a.edge[:], a.body):])
			in[lane] = &a.edge[0]
		}
		if a.left == 1 {
			l.state.Count[lane], l.state.Final[lane] = a.length-blake2x4.BlockSize, ^uint64(0)
		}
		if any == nil || run < n {
			n = run
		}
		any = in[lane]
	}
	for lane := range in {
		if in[lane] == nil {
			in[lane] = any // of no use, but to be read as far as the others
		}
	}
	l.state.Compress(&in, n)
	for lane := range l.lanes {
		a := &l.lanes[lane]
		if a.left == 0 {
			continue
		}
		if in[lane] != &a.edge[0] {
			a.body = a.body[n*blake2x4.BlockSize:]
		}
		if a.left -= n; a.left == 0 {
			for w := range len(Hash{}) / 8 {
				binary.LittleEndian.PutUint64(dst[a.at][8*w:], l.state.H[w][lane])
			}
			done++
		}
	}
	return done
}
