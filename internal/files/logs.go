package files

import (
	"context"
	"sync"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/hyperdrive"
)

// Log names a log of a drive and says how long it is here.
type Log struct {
	Key    hypercrypto.Key
	Length uint64
}

// Logs are the two logs of an open drive: names and contents. They must be closed.
type Logs struct {
	drive   *hyperdrive.Drive
	release func()
	cancel  context.CancelFunc
	found   chan struct{} // closed when looking for the contents has ended

	mu       sync.Mutex      // guards contents
	contents *hypercore.Core // nil while unknown
}

// Logs opens the logs of a drive. Of somebody else's drive the second is found once
// its first block is here.
func (l *Library) Logs(ctx context.Context, r Record) (*Logs, error) {
	h, release, err := l.acquire(ctx, r)
	if err != nil {
		return nil, explain(ctx, err)
	}
	s := &Logs{drive: h.drive, release: release, found: make(chan struct{})}
	looking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	find := func() {
		defer close(s.found)
		if b, err := s.drive.Blobs(looking); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.contents = b.Core()
		}
	}
	if h.drive.Core().Has(0, 1) {
		find()
	} else {
		go find()
	}
	return s, nil
}

// Close gives the drive back.
func (s *Logs) Close() {
	s.cancel()
	<-s.found
	s.release()
}

// Key returns the key of the drive.
func (s *Logs) Key() hypercrypto.Key { return s.drive.Key() }

func (s *Logs) cores() []*hypercore.Core {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*hypercore.Core{s.drive.Core()}
	if s.contents != nil {
		list = append(list, s.contents)
	}
	return list
}

// List returns the logs that are known.
func (s *Logs) List() (list []Log) {
	for _, c := range s.cores() {
		list = append(list, Log{c.Key(), c.Length()})
	}
	return list
}

// HeldBy tells whether a connected peer has said that it holds all of both logs.
func (s *Logs) HeldBy(peer hypercrypto.PublicKey) bool {
	cores := s.cores()
	if len(cores) < 2 {
		return false
	}
	for _, c := range cores {
		held := false
		for _, p := range c.Peers() {
			held = held || p.PublicKey() == peer && p.Stats().RemoteContiguousLength >= c.Length()
		}
		if !held {
			return false
		}
	}
	return true
}
