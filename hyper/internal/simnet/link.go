package simnet

import (
	"math/rand/v2"
	"time"
)

const (
	defaultMTU   = 1500
	defaultQueue = 1 << 20
	ipOverhead   = 28 // IPv4 and UDP headers
)

// Link describes the line between a host or router and its segment. It is the
// same in both directions. The zero value is perfect.
type Link struct {
	// Delay is how long a packet takes, Jitter the most that is added to it.
	// Neither changes the order of packets.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are probabilities. A packet out of order is
	// late by up to Delay + 10 ms.
	Loss, Duplicate, Reorder float64
	// Rate is in bytes per second, headers included; 0 is unlimited. What does
	// not fit into Queue bytes in front of the line is lost; default 1 MiB.
	Rate, Queue int
	// MTU is the largest IP packet; larger ones are lost unless they may be
	// split. Default 1500.
	MTU int
	// Hops is the number of routers on the line, for packets with a limit.
	Hops int
}

// line is one direction of a link. The lock of the network guards it.
type line struct {
	link Link
	rng  *rand.Rand
	busy time.Duration // when the last packet will have left the queue
	last time.Duration // when the last packet in order arrives
}

func newLine(n *Network) *line {
	n.lines++
	return &line{rng: rand.New(rand.NewPCG(n.seed, n.lines))}
}

// pass puts p on the line and calls arrive when it comes out, if it does.
func (l *line) pass(n *Network, p packet, arrive func(packet)) {
	k := &l.link
	size := len(p.data) + ipOverhead
	mtu := k.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	if size > mtu && !p.fragment {
		return
	}
	if p.ttl > 0 {
		if p.ttl <= k.Hops {
			return
		}
		p.ttl -= k.Hops
	}
	now := n.now()
	at := now
	if k.Rate > 0 {
		queue := k.Queue
		if queue == 0 {
			queue = defaultQueue
		}
		l.busy = max(l.busy, now)
		if waiting := float64(k.Rate) * (l.busy - now).Seconds(); waiting+float64(size) > float64(queue) {
			return
		}
		l.busy += time.Duration(float64(size) / float64(k.Rate) * float64(time.Second))
		at = l.busy
	}
	// Always the same number of draws, so that one setting does not change what
	// another does.
	loss, duplicate, reorder, extra := l.rng.Float64(), l.rng.Float64(), l.rng.Float64(), l.rng.Float64()
	if loss < k.Loss {
		return
	}
	at += k.Delay + time.Duration(extra*float64(k.Jitter))
	if reorder < k.Reorder {
		at += time.Duration(extra * float64(k.Delay+10*time.Millisecond))
	} else {
		at = max(at, l.last)
		l.last = at
	}
	n.schedule(at, p, arrive)
	if duplicate < k.Duplicate {
		again := p
		again.data = append([]byte(nil), p.data...)
		n.schedule(at, again, arrive)
	}
}
