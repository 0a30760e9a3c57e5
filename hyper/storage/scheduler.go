package storage

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// scheduler lets the database run as many compactions as it allows itself. It looks
// when a flush or a compaction has ended, which alone can change something, and not ten
// times a second as Pebble's own does: a store at rest wakes nobody.
type scheduler struct {
	db         pebble.DBForCompaction
	wake       chan struct{}
	quit, done chan struct{}

	mu      sync.Mutex // comes after the locks of the database
	running int
}

func newScheduler() *scheduler {
	return &scheduler{wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// Register implements [pebble.CompactionScheduler].
func (s *scheduler) Register(_ int, db pebble.DBForCompaction) {
	s.db = db
	go s.run()
}

// Unregister implements [pebble.CompactionScheduler].
func (s *scheduler) Unregister() {
	close(s.quit)
	<-s.done
}

// TrySchedule implements [pebble.CompactionScheduler].
func (s *scheduler) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running >= s.db.GetAllowedWithoutPermission() {
		return false, nil
	}
	s.running++
	return true, s
}

// UpdateGetAllowedWithoutPermission implements [pebble.CompactionScheduler].
func (s *scheduler) UpdateGetAllowedWithoutPermission() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Started implements [pebble.CompactionGrantHandle], as do the next three.
func (s *scheduler) Started() {}

func (s *scheduler) MeasureCPU(pebble.CompactionGoroutineKind) {}

func (s *scheduler) CumulativeStats(pebble.CompactionGrantHandleStats) {}

func (s *scheduler) Done() {
	s.add(-1)
	s.UpdateGetAllowedWithoutPermission()
}

func (s *scheduler) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += n
}

// run starts what waits and may run, until quit is closed.
func (s *scheduler) run() {
	defer close(s.done)
	for {
		select {
		case <-s.wake:
		case <-s.quit:
			return
		}
		for s.free() {
			if waiting, _ := s.db.GetWaitingCompaction(); !waiting || !s.db.Schedule(s) {
				break
			}
			s.add(1) // not before: what is refused meanwhile would not be looked at again
		}
	}
}

func (s *scheduler) free() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running < s.db.GetAllowedWithoutPermission()
}
