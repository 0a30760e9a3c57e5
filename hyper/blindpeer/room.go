package blindpeer

import (
	"context"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// Dropping makes this part of the limit free at once, so that it is not done for
// every block that comes.
const slackShare = 64

// makeRoom tells whether an entry may grow by need, and drops others for it if they
// are less wanted. It drops nothing if that would not be enough. s.change is held.
func (s *Server) makeRoom(ctx context.Context, e *entry, need uint64) bool {
	s.mu.Lock()
	used, total := s.ledger.client(e.owner).bytes, s.ledger.bytes
	s.mu.Unlock()
	if !s.isTrusted(e.owner) && used+need > s.opts.MaxBytesPerClient {
		return false
	}
	if total+need <= s.opts.MaxBytes {
		return true
	}
	if need > s.opts.MaxBytes {
		return false
	}
	short := total + need - s.opts.MaxBytes
	list := s.droppable(e.owner, e.Priority, e)
	var most uint64
	for _, x := range list {
		most += x.cost
	}
	if most < short {
		return false
	}
	goal := short + s.opts.MaxBytes/slackShare
	var freed uint64
	for _, class := range classes(list) {
		// What is cleared goes on with what comes later, which is better than nothing.
		freed += s.drop(ctx, class, goal-freed, func(x *entry) (uint64, error) { return s.clear(ctx, x) })
		if freed < short {
			freed += s.drop(ctx, class, goal-freed, func(x *entry) (uint64, error) { return x.cost, s.forget(ctx, x) })
		}
		if freed >= short {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.bytes+need <= s.opts.MaxBytes
}

// classes splits what leastWanted has sorted by priority.
func classes(list []*entry) (classes [][]*entry) {
	for p := range uint64(PriorityHigh + 1) {
		var class []*entry
		for _, x := range list {
			if x.Priority == p {
				class = append(class, x)
			}
		}
		classes = append(classes, class)
	}
	return classes
}

// drop drops entries until goal bytes are free.
func (s *Server) drop(ctx context.Context, list []*entry, goal uint64, one func(*entry) (uint64, error)) (freed uint64) {
	for _, x := range list {
		if freed >= goal || ctx.Err() != nil {
			break
		}
		if x.gone {
			continue
		}
		n, err := one(x)
		if err != nil {
			s.opts.Log.Debug("make room", "log", x.Key, "err", err)
			continue
		}
		freed += n
	}
	return freed
}

// droppable returns what may be dropped for a log of that owner and priority, the
// least wanted first.
func (s *Server) droppable(owner hypercrypto.PublicKey, priority uint64, not *entry) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*entry
	for _, x := range s.ledger.entries {
		s.noteTouch(x)
		if x != not && !x.Announce && x.Priority <= priority && (s.isTrusted(owner) || !s.isTrusted(x.owner)) {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, leastWanted)
	return list
}

// clear drops the blocks of an entry; those that come later are kept.
func (s *Server) clear(ctx context.Context, e *entry) (freed uint64, err error) {
	if e.Bytes == 0 {
		return 0, nil
	}
	core, err := s.store.Get(ctx, corestore.GetOptions{Key: &e.Key, Passive: true})
	if err != nil {
		return 0, fmt.Errorf("open log: %w", err)
	}
	defer core.Close()
	if e.open != nil && e.open.download != nil {
		e.open.download.Close() // else it fetches again what is cleared
		e.open.download = nil
	}
	r := e.Record
	if err := core.Clear(ctx, 0, r.Length); err != nil {
		return 0, fmt.Errorf("clear log: %w", err)
	}
	freed = r.Bytes
	r.BlocksCleared, r.BytesCleared, r.Bytes = r.Length, r.BytesCleared+r.Bytes+e.released, 0
	s.mu.Lock()
	e.released = 0
	s.ledger.set(e, r)
	s.stats.BytesCleared += freed
	s.mu.Unlock()
	s.orderAgain(e)
	if c, err := s.store.DB().Core(e.dk); err == nil {
		if err := c.Shrink(ctx); err != nil {
			return freed, fmt.Errorf("shrink log: %w", err)
		}
	}
	return freed, nil
}

// forget deletes an entry and its log.
func (s *Server) forget(ctx context.Context, e *entry) error {
	if e.open != nil {
		s.putAway(e)
	}
	if err := s.store.Delete(ctx, e.dk); err != nil {
		return fmt.Errorf("delete log: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.changed, e)
	s.ledger.remove(e)
	s.stats.Forgotten++
	return nil
}

// makePlace tells whether a client may have another record, and forgets some that
// are less wanted if there are too many. s.change is held.
func (s *Server) makePlace(ctx context.Context, owner hypercrypto.PublicKey, priority uint64) bool {
	s.mu.Lock()
	own, all := 0, len(s.ledger.entries)
	if u := s.ledger.clients[owner]; u != nil {
		own = u.logs
	}
	s.mu.Unlock()
	if !s.isTrusted(owner) && own >= s.opts.MaxLogsPerClient {
		return false
	}
	if all < s.opts.MaxLogs {
		return true
	}
	list := s.droppable(owner, priority, nil)
	list = list[:min(len(list), max(s.opts.MaxLogs/slackShare, 1))]
	return s.drop(ctx, list, ^uint64(0), func(x *entry) (uint64, error) { return x.cost, s.forget(ctx, x) }) > 0
}
