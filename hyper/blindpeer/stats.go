package blindpeer

import "github.com/tradle/cloudpal/hyper/hypercrypto"

// Stats says how much a mirror holds, and what it has done since it was opened.
type Stats struct {
	Logs, Open, Announced int
	Bases                 int // referrers
	Clients               int // keys that have logs here
	Connections           int
	Bytes, MaxBytes       uint64 // as limited by Options.MaxBytes

	Orders       uint64 // messages that ask to keep logs
	Added        uint64 // logs
	Deleted      uint64 // logs, on request
	Forgotten    uint64 // logs and their records, to make room
	BytesCleared uint64 // of blocks that were dropped to make room
	// BytesReleased is of blocks that were dropped because their writer has no use for them.
	BytesReleased uint64
	Refused       uint64 // logs that were not taken, or not as long as they are
	Downgraded    uint64 // wishes to announce of clients that are not trusted
	Wakeups       uint64 // announcements to clients
}

// Stats returns the numbers as they are now.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Logs, st.Open, st.Announced = len(s.ledger.entries), len(s.open), s.ledger.announced
	st.Bases, st.Clients, st.Connections = len(s.ledger.groups), len(s.ledger.clients), s.conns
	st.Bytes, st.MaxBytes = s.ledger.bytes, s.opts.MaxBytes
	return st
}

// Record returns what is known of a log, and whether anybody asked to keep it.
func (s *Server) Record(key hypercrypto.Key) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.ledger.entries[key.Discovery()]
	if e == nil {
		return Record{}, false
	}
	return e.Record, true
}

// Holds tells whether all blocks of a log are here, as far as the mirror knows it.
// Blocks that were dropped to make room, and those that are released, do not count.
func (s *Server) Holds(key hypercrypto.Key) bool {
	r, ok := s.Record(key)
	if !ok || r.Length == 0 {
		return false
	}
	s.change.Lock()
	defer s.change.Unlock()
	e := s.ledger.entries[key.Discovery()]
	if e == nil {
		return false
	}
	lacking, err := s.lacking(e)
	return err == nil && lacking == 0
}
