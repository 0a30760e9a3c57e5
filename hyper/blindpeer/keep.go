package blindpeer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// opened is a log that is exchanged. Server.change guards it.
type opened struct {
	core     *hypercore.Core
	unlisten func()
	download *hypercore.Download // of what was settled; nil for nothing
	from, to uint64              // its range
	except   *released           // what it left out
	released *released           // what is released; nil if that was not read yet
	unsized  bool                // more of it counts than it takes
	idle     int                 // sweeps without a peer
	leave    func()              // ends the announcement; nil for none
	seek     bool                // of the announcement
}

// activate opens the log of an entry and attaches it to a connection, if there is
// one. s.change is held.
func (s *Server) activate(ctx context.Context, e *entry, m *protomux.Mux) error {
	if e.open == nil {
		if len(s.open) >= s.opts.MaxOpen {
			s.putLongestAway()
		}
		core, err := s.store.Get(ctx, corestore.GetOptions{Key: &e.Key})
		if err != nil {
			return fmt.Errorf("open log %s: %w", e.Key, err)
		}
		o := &opened{core: core}
		o.unlisten = core.Events(func(ev hypercore.Event) { s.onEvent(e, ev) })
		s.mu.Lock()
		e.open = o
		s.open[e] = struct{}{}
		s.mu.Unlock()
		s.settle(ctx, e)
	}
	e.open.idle = 0
	s.announce(e)
	if m == nil {
		return nil
	}
	return e.open.core.Replicate(m)
}

// putLongestAway makes room for another open log.
func (s *Server) putLongestAway() {
	list := make([]*entry, 0, len(s.open))
	s.mu.Lock()
	for e := range s.open {
		s.noteTouch(e)
		if !e.Announce {
			list = append(list, e)
		}
	}
	s.mu.Unlock()
	if len(list) > 0 {
		s.putAway(slices.MinFunc(list, func(a, b *entry) int { return a.Active.Compare(b.Active) }))
	}
}

// putAway closes the log of an entry. s.change is held.
func (s *Server) putAway(e *entry) {
	o := e.open
	o.unlisten()
	if o.leave != nil {
		o.leave()
	}
	if o.download != nil {
		o.download.Close()
	}
	s.mu.Lock()
	e.open = nil
	delete(s.open, e)
	delete(s.changed, e)
	s.noteTouch(e)
	s.mu.Unlock()
	if err := o.core.Close(); err != nil {
		s.opts.Log.Debug("close log", "key", e.Key, "err", err)
	}
}

func (s *Server) onEvent(e *entry, ev hypercore.Event) {
	switch ev.Type {
	case hypercore.EventAppend, hypercore.EventTruncate:
		s.mu.Lock()
		s.changed[e] = struct{}{}
		s.mu.Unlock()
		s.notify()
	case hypercore.EventDownload, hypercore.EventUpload:
		e.touched.Store(time.Now().UnixNano())
	}
}

// settle takes the present length of an open log into account, and orders its
// blocks if there is room for them. s.change is held.
func (s *Server) settle(ctx context.Context, e *entry) {
	o, now := e.open, time.Now()
	r := e.Record
	r.Length = o.core.Length()
	bytes := o.core.ByteLength()
	if r.Length < r.BlocksCleared { // it was truncated
		r.BlocksCleared, r.BytesCleared = r.Length, bytes
	}
	r.Bytes = bytes - min(bytes, r.BytesCleared)
	st, err := s.releasedOf(e)
	if err != nil {
		s.opts.Log.Debug("a log is kept whole", "key", e.Key, "err", err)
		st = &released{}
	}
	if st.fork != o.core.Fork() { // other blocks are meant
		st = &released{fork: o.core.Fork(), time: st.time, deputies: st.deputies}
		o.released = st
	}
	out, sized := st.bytes(o.core, r.BlocksCleared, r.Length)
	out = min(r.Bytes, out)
	r.Bytes -= out
	o.unsized = !sized
	if r.Length != e.Length {
		r.Updated, r.Active = now, now
	}
	if cost := costOf(&r); cost > e.cost && !s.makeRoom(ctx, e, cost-e.cost) {
		s.mu.Lock()
		if !e.over {
			e.over = true
			s.stats.Refused++
		}
		s.mu.Unlock()
		s.opts.Log.Debug("no room for a log that grew", "key", e.Key, "length", r.Length, "bytes", r.Bytes)
		return
	}
	grown := r.Length != e.Length
	s.mu.Lock()
	e.over = false
	if r != e.Record || out != e.released {
		e.released = out
		s.ledger.set(e, r)
	}
	s.mu.Unlock()
	s.order(e, st)
	if grown {
		s.wake(e)
		s.announce(e)
	}
}

// order asks for the blocks that were settled, but those that are released.
func (s *Server) order(e *entry, st *released) {
	o := e.open
	if o.download != nil && o.from == e.BlocksCleared && o.to == e.Length && o.except == st {
		return
	}
	old := o.download
	o.from, o.to, o.except, o.download = e.BlocksCleared, e.Length, st, nil
	if o.from < o.to {
		o.download = o.core.Download(hypercore.Range{Start: o.from, End: o.to, Except: st.runs})
	}
	if old != nil {
		old.Close()
	}
}

// seekLag is how many blocks may be missing before other peers are looked for.
const seekLag = 100

// announce joins the topic of an announced log, as its state asks for. s.change is
// held.
func (s *Server) announce(e *entry) {
	o := e.open
	if !e.Announce || s.opts.Announce == nil {
		return
	}
	lacking, err := s.lacking(e)
	seek := err == nil && (e.Length == 0 || lacking > seekLag)
	if o.leave != nil && o.seek == seek {
		return
	}
	old := o.leave
	o.leave, o.seek = s.opts.Announce(e.dk, seek), seek
	if old != nil {
		old()
	}
}
