package hyperswarm

import (
	"math/rand/v2"
	"slices"
)

// queue holds peers to dial: the highest priority first, in random order within
// one, so that nobody can push to the front.
type queue struct {
	classes [priorities][]*peer
	length  int
}

// add queues a peer that is eligible.
func (q *queue) add(p *peer) {
	c := &q.classes[p.priority]
	p.queued, p.index = true, len(*c)
	*c = append(*c, p)
	q.length++
}

// pop removes and returns the next peer that pass allows, or nil.
func (q *queue) pop(pass func(*peer) bool) *peer {
	p := q.find(pass)
	if p != nil {
		q.remove(p)
	}
	return p
}

// find returns a random peer of the highest class that has one for which fit is
// true, or nil.
func (q *queue) find(fit func(*peer) bool) *peer {
	for _, c := range slices.Backward(q.classes[:]) {
		if len(c) == 0 {
			continue
		}
		start := rand.IntN(len(c))
		for i := range c {
			if p := c[(start+i)%len(c)]; fit(p) {
				return p
			}
		}
	}
	return nil
}

// remove takes a peer out.
func (q *queue) remove(p *peer) {
	c := &q.classes[p.priority]
	last := len(*c) - 1
	moved := (*c)[last]
	(*c)[p.index], moved.index = moved, p.index
	(*c)[last] = nil
	*c = (*c)[:last]
	p.queued = false
	q.length--
}

func (q *queue) each(fn func(*peer)) {
	for _, c := range q.classes {
		for _, p := range c {
			fn(p)
		}
	}
}
