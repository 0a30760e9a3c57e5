package lan

import (
	"net/netip"
	"slices"
	"time"
)

// Limits of what others can make a node remember and do.
const (
	maxSightings  = 1024
	maxPerSource  = 64
	maxSources    = 512
	sourceRate    = 20 // packets a second
	sourceBurst   = 60
	changeRate    = 200 // new or changed announcements a second, of all sources
	changeBurst   = 500
	forgetSources = 10 * time.Second
)

// bucket limits a rate.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.at.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// source is a host of which packets came.
type source struct {
	bucket
	sightings int
}

// sightingKey: the same label from another address is something else, so that
// nobody can change or take back what others announce.
type sightingKey struct {
	label label
	addr  netip.Addr
}

// sighting is an announcement that was seen and has not expired.
type sighting struct {
	segment int // that it was seen on
	port    uint16
	ids     []id
	expires time.Time
	matches []*browse
}

// admit counts a packet of a source and tells whether to look at it.
func (s *state) admit(from netip.Addr) *source {
	src := s.sources[from]
	if src == nil {
		if len(s.sources) >= maxSources {
			return nil
		}
		src = new(source)
		s.sources[from] = src
	}
	if !src.take(s.now, sourceRate, sourceBurst) {
		return nil
	}
	return src
}

// sight takes an announcement over.
func (s *state) sight(src *source, p packet, a *announcement) {
	if s.isOwn(a.label) {
		return
	}
	key := sightingKey{a.label, p.from}
	old := s.seen[key]
	if old != nil && old.port == a.port && slices.Equal(old.ids, a.ids) {
		old.expires = s.now.Add(a.ttl)
		return
	}
	if old == nil && (len(s.seen) >= maxSightings || src.sightings >= maxPerSource) {
		return
	}
	if !s.changes.take(s.now, changeRate, changeBurst) {
		return
	}
	seen := &sighting{segment: p.segment, port: a.port, ids: a.ids, expires: s.now.Add(a.ttl)}
	for b := range s.browses {
		s.match(b, key, seen)
	}
	if old != nil {
		s.unmatch(key, old)
	} else {
		src.sightings++
	}
	s.seen[key] = seen
}

// match tells b about a sighting if it is of its topic.
func (s *state) match(b *browse, key sightingKey, seen *sighting) {
	if names(seen.ids, &b.topic, key.label, s.now) {
		seen.matches = append(seen.matches, b)
		b.count(netip.AddrPortFrom(key.addr, seen.port), 1)
	}
}

func (s *state) unmatch(key sightingKey, seen *sighting) {
	for _, b := range seen.matches {
		b.count(netip.AddrPortFrom(key.addr, seen.port), -1)
	}
}

// forget removes a sighting, if it is one.
func (s *state) forget(key sightingKey) {
	seen := s.seen[key]
	if seen == nil {
		return
	}
	s.unmatch(key, seen)
	delete(s.seen, key)
	s.sources[key.addr].sightings--
}

// sweep forgets what has expired.
func (s *state) sweep() {
	for key, seen := range s.seen {
		if !s.now.Before(seen.expires) {
			s.forget(key)
		}
	}
	for addr, src := range s.sources {
		if src.sightings == 0 && s.now.Sub(src.at) > forgetSources {
			delete(s.sources, addr)
		}
	}
}

func (s *state) browse(b *browse) {
	s.browses[b] = true
	for key, seen := range s.seen {
		s.match(b, key, seen)
	}
	s.askSoon()
}

func (s *state) leave(b *browse) {
	delete(s.browses, b)
	for _, seen := range s.seen {
		seen.matches = slices.DeleteFunc(seen.matches, func(o *browse) bool { return o == b })
	}
}

// Questions are repeated after a pause that doubles.
const (
	firstPause = time.Second
	lastPause  = 40 * time.Second // well below lifetime
)

// askSoon makes the next question due, but no sooner than a second after the
// last.
func (s *state) askSoon() {
	s.pause = firstPause
	s.askAt = s.now
	if next := s.lastAsked.Add(firstPause); s.askAt.Before(next) {
		s.askAt = next
	}
}

// ask sends the question if it is due.
func (s *state) ask() {
	if len(s.browses) == 0 || s.now.Before(s.askAt) {
		return
	}
	s.lastAsked, s.askAt = s.now, s.now.Add(s.pause)
	s.pause = min(2*s.pause, lastPause)
	for _, segment := range s.segments {
		s.askOn(segment)
	}
}

// askOn asks for what is not known yet on a segment, or will not be for long.
func (s *state) askOn(segment int) {
	known := make(map[label]time.Duration)
	for _, i := range s.own {
		known[i.label] = lifetime
	}
	for key, seen := range s.seen {
		if left := seen.expires.Sub(s.now); seen.segment == segment && left > lifetime/2 && len(known) < maxKnown {
			known[key.label] = left
		}
	}
	b, err := packQuestion(known)
	if err != nil {
		s.log.Debug("ask", "err", err)
		return
	}
	s.say(segment, b)
}
