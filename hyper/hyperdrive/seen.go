package hyperdrive

import (
	"fmt"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercore"
)

// When a version was first seen on this machine is kept beside the log of the
// names, for drives whose entries do not say when they were written:
//
//	uint 0                 version
//	array of {
//	    uint               length of the log
//	    uint               milliseconds since 1970
//	}
//
// in ascending order of both. It is never sent to peers.
const (
	seenUserData = "hyperdrive/seen"
	maxSeen      = 4096 // then every other one of the older half is dropped
	seenEvery    = 30 * time.Second
)

type sighting struct {
	version uint64
	at      time.Time
}

// seenLog notes the versions of a drive as they come.
type seenLog struct {
	core *hypercore.Core
	now  func() time.Time

	mu    sync.Mutex // guards list and dirty
	list  []sighting
	dirty bool

	wake   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	cancel func()
}

func watchSeen(core *hypercore.Core, now func() time.Time) (*seenLog, error) {
	raw, err := core.UserData(seenUserData)
	if err != nil {
		return nil, fmt.Errorf("read times of versions: %w", err)
	}
	s := &seenLog{core: core, now: now, list: decodeSeen(raw), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	s.note(core.Length())
	s.cancel = core.Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventAppend || e.Type == hypercore.EventTruncate {
			s.note(e.Length)
		}
	})
	go s.run()
	return s, nil
}

// note records that the log has a length now.
func (s *seenLog) note(length uint64) {
	at := s.now().Truncate(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.list); n > 0 && s.list[n-1].version > length; n-- {
		s.list = s.list[:n-1] // truncated
	}
	n := len(s.list)
	if length == 0 || n > 0 && s.list[n-1].version == length {
		return
	}
	if n > 0 && !at.After(s.list[n-1].at) {
		s.list[n-1].version = length
	} else {
		s.list = append(s.list, sighting{length, at})
	}
	if len(s.list) > maxSeen {
		s.list = thin(s.list)
	}
	s.dirty = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// thin drops every other sighting of the older half.
func thin(list []sighting) []sighting {
	half := len(list) / 2
	kept := list[:0]
	for i, e := range list {
		if i >= half || i%2 == 0 {
			kept = append(kept, e)
		}
	}
	return kept
}

// run stores the list, at most every seenEvery.
func (s *seenLog) run() {
	defer close(s.done)
	timer := time.NewTimer(0)
	<-timer.C
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
		timer.Reset(seenEvery)
		select {
		case <-timer.C:
			// What cannot be stored now is tried again with the next version.
			_ = s.store()
		case <-s.stop:
			timer.Stop()
			return
		}
	}
}

func (s *seenLog) store() error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = false
	raw := encodeSeen(s.list)
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := s.core.SetUserData(seenUserData, raw); err != nil {
		return fmt.Errorf("store times of versions: %w", err)
	}
	return nil
}

// close stops noting and stores what is not stored yet.
func (s *seenLog) close() error {
	s.cancel()
	close(s.stop)
	<-s.done
	return s.store()
}

// at returns the last version that was seen until t, 0 if none.
func (s *seenLog) at(t time.Time) (version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.list {
		if !e.at.After(t) {
			version = e.version
		}
	}
	return version
}

// seenAt returns the last version that was seen here until t.
func (d *Drive) seenAt(t time.Time) (uint64, error) {
	if d.seen == nil {
		return 0, nil
	}
	return d.seen.at(t), nil
}

func encodeSeen(list []sighting) []byte {
	b := compact.AppendUint(nil, 0)
	b = compact.AppendUint(b, uint64(len(list)))
	for _, e := range list {
		b = compact.AppendUint(b, e.version)
		b = compact.AppendUint(b, uint64(max(e.at.UnixMilli(), 0)))
	}
	return b
}

// decodeSeen reads what encodeSeen wrote; what it cannot read counts as
// nothing, since the record only refines an estimate.
func decodeSeen(raw []byte) []sighting {
	r := compact.NewReader(raw)
	if len(raw) == 0 || r.Uint() != 0 {
		return nil
	}
	list := make([]sighting, 0, r.Count(2))
	last := sighting{at: time.UnixMilli(-1)}
	for range cap(list) {
		s := sighting{r.Uint(), time.UnixMilli(int64(min(r.Uint(), compact.MaxUint)))}
		if s.version <= last.version || !s.at.After(last.at) {
			return nil
		}
		list, last = append(list, s), s
	}
	if r.Err() != nil || len(list) > maxSeen {
		return nil
	}
	return list
}
