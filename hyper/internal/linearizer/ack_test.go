package linearizer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// talk are peers that write, hear of each other now and then, and acknowledge.
type talk struct {
	rng      *rand.Rand
	keys     []hypercrypto.Key
	indexers int
	logs     [][]*said
	peers    []*talker
}

type said struct {
	node Node
	seen []int // per log, what its writer had seen
}

type talker struct {
	t      *talk
	n      int
	l      *Linearizer
	seen   []int
	heads  []Ref
	tip    []*Node
	theirs bool // keeps to the rule of the other stack
}

func newTalk(seed uint64, indexers, writers int) *talk {
	t := &talk{rng: rand.New(rand.NewPCG(seed, 5)), indexers: indexers}
	for i := range writers {
		var k hypercrypto.Key
		k[0], k[1] = byte(t.rng.Uint32()), byte(i)
		t.keys, t.logs = append(t.keys, k), append(t.logs, nil)
	}
	for i := range writers {
		t.peers = append(t.peers, &talker{t: t, n: i, l: New(t.keys[:indexers], nil), seen: make([]int, writers)})
	}
	return t
}

func (p *talker) add(s *said) {
	n := s.node // every peer has its own
	if err := p.l.Add(&n); err != nil {
		panic(err)
	}
	p.heads = slices.DeleteFunc(p.heads, func(h Ref) bool { return h.Key == n.Key || slices.Contains(n.Heads, h) })
	p.heads = append(p.heads, n.Ref)
}

func (p *talker) write(empty bool) {
	s := &said{node: Node{Ref: Ref{p.t.keys[p.n], uint64(p.seen[p.n]) + 1}, Heads: slices.Clone(p.heads), Batch: 1, Empty: empty}}
	p.seen[p.n]++
	s.seen = slices.Clone(p.seen)
	p.t.logs[p.n] = append(p.t.logs[p.n], s)
	p.add(s)
	_, p.tip = p.l.Update()
}

// learn gives p what somebody had seen, and tells whether that is news.
func (p *talker) learn(seen []int) bool {
	any := false
	for again := true; again; {
		again = false
		for w, end := range seen {
			for p.seen[w] < end {
				s := p.t.logs[w][p.seen[w]]
				ok := true
				for v, n := range s.seen {
					ok = ok && (v == w || p.seen[v] >= n)
				}
				if !ok {
					break
				}
				p.seen[w]++
				p.add(s)
				again, any = true, true
			}
		}
	}
	if any {
		_, p.tip = p.l.Update()
	}
	return any
}

// hear gives p something of what a peer of a group knows.
func (p *talker) hear(from []*talker) bool {
	rng := p.t.rng
	q := from[rng.IntN(len(from))]
	if q.seen[q.n] > 0 && rng.IntN(4) == 0 {
		return p.learn(p.t.logs[q.n][rng.IntN(q.seen[q.n])].seen)
	}
	return p.learn(q.seen)
}

// open counts the values that are not confirmed.
func (p *talker) open() (n int) {
	for _, x := range p.tip {
		if !x.Empty {
			n++
		}
	}
	return n
}

func (p *talker) acks() bool {
	k := p.t.keys[p.n]
	if p.theirs {
		return p.l.theirAck(k, false)
	}
	return p.l.AckHelps(k, false)
}

// rest lets a group talk until all know the same and nobody has anything to add,
// and tells whether it comes to that.
func (t *talk) rest(group []*talker) bool {
	for i := range 60000 {
		p := group[t.rng.IntN(len(group))]
		if t.rng.IntN(3) > 0 {
			p.hear(group)
		} else if p.acks() {
			p.write(true)
		}
		if i%16 > 0 {
			continue
		}
		if !slices.ContainsFunc(group, func(p *talker) bool { return !slices.Equal(p.seen, group[0].seen) || p.acks() }) {
			return true
		}
	}
	return false
}

// Indexers confirm all values by acknowledgements alone if a majority of them is
// there, and rest in any case, also among those that keep to the rule of the other stack.
func TestAcksConfirmAndEnd(t *testing.T) {
	for _, c := range []struct {
		ours, theirs, away int
	}{
		{2, 0, 0}, {3, 0, 0}, {4, 0, 0}, {5, 0, 0}, {3, 0, 1}, {5, 0, 2}, {2, 1, 0}, {2, 1, 1}, {3, 2, 0},
		// Without a majority.
		{2, 0, 1}, {3, 0, 2}, {5, 0, 3}, {1, 2, 0}, {1, 1, 0}, {2, 2, 0},
	} {
		t.Run(fmt.Sprintf("%d ours %d theirs %d away", c.ours, c.theirs, c.away), func(t *testing.T) {
			t.Parallel()
			indexers := c.ours + c.theirs
			for seed := range uint64(60) {
				w := newTalk(seed, indexers, indexers+int(seed%3))
				for _, p := range w.peers[:c.theirs] {
					p.theirs = true
				}
				for range 5 + w.rng.IntN(40) {
					p := w.peers[w.rng.IntN(len(w.peers))]
					switch x := w.rng.IntN(10); {
					case x < 3:
						p.write(w.rng.IntN(4) == 0 && p.n < indexers)
					case x < 8:
						p.hear(w.peers)
					case p.acks():
						p.write(true)
					}
				}
				// Who is away is one of theirs, if there are any.
				group := w.peers[c.away:]
				if !w.rest(group) {
					t.Fatalf("seed %d: they acknowledge for ever", seed)
				}
				ours := min(c.ours, indexers-c.away)
				for _, p := range group {
					if n := p.open(); n > 0 && ours > indexers/2 {
						t.Fatalf("seed %d: %d values are not confirmed at peer %d", seed, n, p.n)
					}
				}
			}
		})
	}
}
