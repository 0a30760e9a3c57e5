package lan

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

// What a node announces itself.
const (
	maxAnnounced = 1024
	// repeats is how often news are told, one second apart: packets get lost.
	repeats = 2
	// maxRotationDelay spreads the change of labels, so that not all nodes of a
	// link speak at the full hour.
	maxRotationDelay = 5 * time.Minute
	// overlap is how long an old label stays after the new one was announced.
	overlap = 2500 * time.Millisecond
)

// instance is a label and the topics that are announced under it.
type instance struct {
	label  label
	port   uint16
	topics []announced
	filler Topic // makes the ids that fill up

	sendAt time.Time // of the next announcement without being asked
	left   int       // how many of those
}

type announced struct {
	topic Topic
	count int
}

// farewell is a label that is to be taken back.
type farewell struct {
	label label
	at    time.Time
}

func newInstance(port uint16) *instance {
	i := &instance{label: newLabel(), port: port}
	rand.Read(i.filler[:]) // never fails
	return i
}

// tell makes the instance announce itself now and again in a second.
func (i *instance) tell(now time.Time) { i.sendAt, i.left = now, repeats }

func (i *instance) announcement(epoch int64) *announcement {
	ids := make([]id, 0, maxIDs)
	for _, a := range i.topics {
		ids = append(ids, idOf(&a.topic, epoch, i.label))
	}
	for n := byte(0); len(ids) < padded(len(i.topics)); n++ {
		t := i.filler
		t[0] ^= n
		ids = append(ids, idOf(&t, epoch, i.label))
	}
	slices.SortFunc(ids, compareIDs)
	return &announcement{label: i.label, port: i.port, ids: ids, ttl: lifetime}
}

func (s *state) announce(topic Topic, port uint16) error {
	total := 0
	var room *instance
	for _, i := range s.own {
		if i.port == port {
			for k := range i.topics {
				if i.topics[k].topic == topic {
					i.topics[k].count++
					return nil
				}
			}
			if len(i.topics) < maxIDs {
				room = i
			}
		}
		total += len(i.topics)
	}
	if total >= maxAnnounced {
		return ErrTooMany
	}
	if room == nil {
		room = newInstance(port)
		s.own = append(s.own, room)
	}
	room.topics = append(room.topics, announced{topic, 1})
	room.tell(s.now)
	return nil
}

func (s *state) withdraw(topic Topic, port uint16) {
	for n, i := range s.own {
		k := slices.IndexFunc(i.topics, func(a announced) bool { return a.topic == topic })
		if i.port != port || k < 0 {
			continue
		}
		if i.topics[k].count--; i.topics[k].count > 0 {
			return
		}
		i.topics = slices.Delete(i.topics, k, k+1)
		if len(i.topics) == 0 {
			s.own = slices.Delete(s.own, n, n+1)
			s.farewells = append(s.farewells, farewell{i.label, s.now})
			return
		}
		i.tell(s.now)
		return
	}
}

// isOwn tells whether a label is or was just this node's.
func (s *state) isOwn(l label) bool {
	return slices.ContainsFunc(s.own, func(i *instance) bool { return i.label == l }) ||
		slices.ContainsFunc(s.farewells, func(f farewell) bool { return f.label == l })
}

// rotate gives all instances new labels when a new hour has begun.
func (s *state) rotate() {
	hour := epoch(s.now)
	if hour == s.epoch {
		s.rotateAt = time.Unix((hour+1)*3600, 0).Add(s.rotationDelay)
		return
	}
	// A clock that jumps is followed at once.
	if hour == s.epoch+1 && s.now.Before(s.rotateAt) {
		return
	}
	s.epoch, s.rotationDelay = hour, mathrand.N(maxRotationDelay)
	s.rotateAt = time.Unix((hour+1)*3600, 0).Add(s.rotationDelay)
	for k, old := range s.own {
		i := newInstance(old.port)
		i.topics = old.topics
		i.tell(s.now)
		s.own[k] = i
		s.farewells = append(s.farewells, farewell{old.label, s.now.Add(overlap)})
	}
}

// speak sends the announcements and farewells that are due.
func (s *state) speak() {
	for _, i := range s.own {
		if i.left == 0 || s.now.Before(i.sendAt) {
			continue
		}
		i.left--
		i.sendAt = s.now.Add(time.Second)
		for _, segment := range s.segments {
			s.sendAnnouncement(segment, i)
		}
	}
	s.farewells = slices.DeleteFunc(s.farewells, func(f farewell) bool {
		if s.now.Before(f.at) {
			return false
		}
		s.sendGoodbye(f.label)
		return true
	})
}

func (s *state) sendAnnouncement(segment int, i *instance) {
	b, err := packAnnouncement(i.announcement(s.epoch), s.link.addresses(segment))
	if err != nil {
		s.log.Debug("announce", "err", err)
		return
	}
	s.lastSpoken[segment] = s.now
	s.say(segment, b)
}

func (s *state) sendGoodbye(l label) {
	b, err := packGoodbye(l)
	if err != nil {
		s.log.Debug("take back", "err", err)
		return
	}
	for _, segment := range s.segments {
		s.say(segment, b)
	}
}
