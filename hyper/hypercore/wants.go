package hypercore

import (
	"encoding/binary"
	"math/bits"

	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// segment is the number of blocks that a want covers at most: longer ones are
// not answered.
const segment = 1 << 21

const (
	maxWants    = 512
	maxAnyWants = 16
	maxSizes    = 4
)

// wantSet is what a peer wants to hear about. Whoever wants too much, or in
// odd shapes, is taken to want everything.
type wantSet struct {
	all   bool
	areas map[uint64]map[uint64]struct{} // by length: starts
	count int
	any   []wire.Want
}

func (s *wantSet) add(w wire.Want) {
	switch {
	case s.all:
	case w.Any:
		if len(s.any) >= maxAnyWants {
			s.all = true
			return
		}
		s.any = append(s.any, w)
	case w.Length < 32 || w.Length > segment || bits.OnesCount64(w.Length) != 1 || w.Start%w.Length != 0 || s.count >= maxWants:
		s.all = true
	default:
		starts := s.areas[w.Length]
		if starts == nil {
			if len(s.areas) >= maxSizes {
				s.all = true
				return
			}
			if s.areas == nil {
				s.areas = make(map[uint64]map[uint64]struct{})
			}
			starts = make(map[uint64]struct{})
			s.areas[w.Length] = starts
		}
		if _, ok := starts[w.Start]; !ok {
			starts[w.Start] = struct{}{}
			s.count++
		}
	}
}

func (s *wantSet) remove(w wire.Want) {
	if w.Any {
		for i := range s.any {
			if s.any[i] == w {
				s.any = append(s.any[:i], s.any[i+1:]...)
				return
			}
		}
		return
	}
	if starts := s.areas[w.Length]; starts != nil {
		if _, ok := starts[w.Start]; ok {
			delete(starts, w.Start)
			s.count--
		}
	}
}

// touches tells whether any of the blocks is wanted.
func (s *wantSet) touches(start, end uint64) bool {
	if s.all {
		return true
	}
	for length, starts := range s.areas {
		for at := start / length * length; at < end; at += length {
			if _, ok := starts[at]; ok {
				return true
			}
		}
	}
	for _, w := range s.any {
		if w.Start < end && start < w.Start+min(w.Length, maxBlocks) {
			return true
		}
	}
	return false
}

// onWant answers what we have in an area, and remembers the wish.
func (p *Peer) onWant(body []byte) error {
	w, err := wire.DecodeWant(body)
	if err != nil {
		return err
	}
	if w.Start > maxBlocks || w.Length > segment && !w.Any {
		return nil
	}
	r := p.repl
	r.mu.Lock()
	defer r.mu.Unlock()
	p.wants.add(w)
	if p.ch.Drained() {
		p.answerWant(w)
	} else if len(p.parkedWants) < maxWants {
		p.parkedWants = append(p.parkedWants, w)
	}
	return nil
}

// answerWant says what of an area is here. repl.mu is held.
func (p *Peer) answerWant(w wire.Want) {
	l := p.repl.log
	length := l.public().Length
	held := l.contiguous(length)
	end := w.Start + min(w.Length, maxBlocks)
	switch {
	case end < held || held == length || w.Any && w.Start < held:
		if held > 0 {
			p.sendRange(false, 0, held)
		} else {
			p.sendBits(w.Start, w.Start)
		}
	case w.Any:
		if i, ok := l.st.NextHeld(w.Start); ok && i < min(end, length) {
			p.sendRange(false, i, 1)
		}
	default:
		p.sendBits(w.Start, min(end, length))
	}
}

// sendBits sends which blocks between start and end we have. log.mu is held.
func (p *Peer) sendBits(start, end uint64) {
	start &^= 31
	n := 0
	if end > start {
		n = int((end - start + 31) / 32)
	}
	words := p.repl.log.st.AppendBits(nil, start, n)
	if end&31 != 0 && n > 0 {
		words[n-1] &= 1<<(end&31) - 1
	}
	bits := make([]byte, 0, 4*n)
	for _, w := range words {
		bits = binary.LittleEndian.AppendUint32(bits, w)
	}
	m := wire.Bitfield{Start: start, Bits: bits}
	p.ch.SendFunc(wire.TypeBitfield, m.Size(), m.AppendTo)
}

// onUnwant forgets a wish.
func (p *Peer) onUnwant(body []byte) error {
	w, err := wire.DecodeUnwant(body)
	if err != nil {
		return err
	}
	p.repl.mu.Lock()
	defer p.repl.mu.Unlock()
	p.wants.remove(w)
	return nil
}

// sendWant asks the peer what it has around block i, once.
func (p *Peer) sendWant(i uint64) {
	at := i / segment
	if _, ok := p.wanted[at]; ok || len(p.wanted) >= maxWants {
		return
	}
	p.wanted[at] = struct{}{}
	m := wire.Want{Start: at * segment, Length: segment}
	p.ch.SendFunc(wire.TypeWant, 16, m.AppendTo)
}
