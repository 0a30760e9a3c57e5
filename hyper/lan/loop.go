package lan

import (
	"context"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// link is the network as far as a node sees it: segments on which all hear what
// one says.
type link interface {
	// receive calls deliver for every packet that was sent to all on a segment by
	// somebody on it, in any goroutine, until close returns.
	receive(deliver func(packet))
	// refresh finds out which segments there are.
	refresh() []int
	// addresses returns this node's addresses on a segment.
	addresses(segment int) []netip.Addr
	// send sends to all on a segment.
	send(segment int, b []byte) error
	close() error
}

// state is all that a node knows. It belongs to the goroutine of run.
type state struct {
	link link
	log  *slog.Logger
	now  time.Time // of the event that is handled

	segments   []int
	lastSpoken map[int]time.Time
	answers    map[int]*answer
	scanAt     time.Time

	own           []*instance
	farewells     []farewell
	epoch         int64
	rotateAt      time.Time
	rotationDelay time.Duration

	seen    map[sightingKey]*sighting
	sources map[netip.Addr]*source
	changes bucket
	sweepAt time.Time

	browses          map[*browse]bool
	askAt, lastAsked time.Time
	pause            time.Duration
}

// answer is what was asked for on a segment and has not been said yet.
type answer struct {
	at     time.Time
	labels map[label]bool
}

func newState(l link, log *slog.Logger) *state {
	return &state{link: l, log: log, epoch: epoch(time.Now()), rotationDelay: mathrand.N(maxRotationDelay),
		lastSpoken: make(map[int]time.Time), answers: make(map[int]*answer), seen: make(map[sightingKey]*sighting),
		sources: make(map[netip.Addr]*source), browses: make(map[*browse]bool)}
}

// run handles one event after the other until ctx ends, and says goodbye.
func (s *state) run(ctx context.Context, commands <-chan func(*state), packets <-chan packet) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var command func(*state)
		var p packet
		select {
		case <-ctx.Done():
			for _, i := range s.own {
				s.sendGoodbye(i.label)
			}
			for _, f := range s.farewells {
				s.sendGoodbye(f.label)
			}
			return
		case command = <-commands:
		case p = <-packets:
		case <-timer.C:
		}
		s.now = time.Now()
		switch {
		case command != nil:
			command(s)
		case p.data != nil:
			s.hear(p)
		}
		s.tick()
		timer.Reset(s.next().Sub(s.now))
	}
}

// Pauses between looking at interfaces, and at what has expired.
const (
	scanEvery  = 10 * time.Second
	sweepEvery = time.Second
)

// tick does all that is due.
func (s *state) tick() {
	if !s.now.Before(s.scanAt) {
		s.scan()
		s.scanAt = s.now.Add(scanEvery)
	}
	s.rotate()
	if !s.now.Before(s.sweepAt) {
		s.sweep()
		s.sweepAt = s.now.Add(sweepEvery)
	}
	s.speak()
	s.reply()
	s.ask()
}

// next returns when tick has to be called again.
func (s *state) next() time.Time {
	next := s.scanAt
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	sooner(s.rotateAt)
	if len(s.sources) > 0 {
		sooner(s.sweepAt)
	}
	if len(s.browses) > 0 {
		sooner(s.askAt)
	}
	for _, i := range s.own {
		if i.left > 0 {
			sooner(i.sendAt)
		}
	}
	for _, f := range s.farewells {
		sooner(f.at)
	}
	for _, a := range s.answers {
		sooner(a.at)
	}
	return next
}

// scan follows the interfaces. On a new one everything is said and asked.
func (s *state) scan() {
	before := s.segments
	s.segments = s.link.refresh()
	gone := func(n int) bool { return !slices.Contains(s.segments, n) }
	maps.DeleteFunc(s.answers, func(n int, _ *answer) bool { return gone(n) })
	maps.DeleteFunc(s.lastSpoken, func(n int, _ time.Time) bool { return gone(n) })
	for _, n := range s.segments {
		if slices.Contains(before, n) {
			continue
		}
		for _, i := range s.own {
			s.answerSoon(n, i.label)
		}
		if len(s.browses) > 0 {
			s.askOn(n)
		}
	}
}

// say sends a packet. A segment on which nothing can be sent, because its address
// is not ready for instance, is given up until the next scan finds it again.
func (s *state) say(segment int, b []byte) {
	if err := s.link.send(segment, b); err != nil {
		s.log.Debug("send", "segment", segment, "err", err)
		s.segments = slices.DeleteFunc(slices.Clone(s.segments), func(n int) bool { return n == segment })
	}
}

// hear handles a packet.
func (s *state) hear(p packet) {
	src := s.admit(p.from)
	if src == nil {
		return
	}
	m, err := parse(p.data)
	if err != nil {
		s.log.Debug("ignored a packet", "from", p.from, "err", err)
		return
	}
	if p.question {
		m.goodbyes, m.announcements = nil, nil
	}
	for _, l := range m.goodbyes {
		s.forget(sightingKey{l, p.from})
	}
	for i := range m.announcements {
		s.sight(src, p, &m.announcements[i])
	}
	for _, i := range s.own {
		if m.asked && !slices.Contains(m.known, i.label) || slices.Contains(m.askedFor, i.label) {
			s.answerSoon(p.segment, i.label)
		}
	}
}

// Answers wait a little, so that not all answer at once and those who ask at the
// same time get one answer; and a segment gets at most one a second.
const (
	minWait = 20 * time.Millisecond
	maxWait = 120 * time.Millisecond
)

func (s *state) answerSoon(segment int, l label) {
	if !slices.Contains(s.segments, segment) {
		return
	}
	a := s.answers[segment]
	if a == nil {
		a = &answer{at: s.now.Add(minWait + mathrand.N(maxWait-minWait)), labels: make(map[label]bool)}
		if next := s.lastSpoken[segment].Add(time.Second); a.at.Before(next) {
			a.at = next
		}
		s.answers[segment] = a
	}
	a.labels[l] = true
}

// reply gives the answers that are due.
func (s *state) reply() {
	for segment, a := range s.answers {
		if s.now.Before(a.at) {
			continue
		}
		delete(s.answers, segment)
		for _, i := range s.own {
			if a.labels[i.label] {
				s.sendAnnouncement(segment, i)
			}
		}
	}
}
