package blindpeer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/storage"
)

// releasedName is where the released blocks of a log are among its user data.
const releasedName = "blindpeer/released"

// Why a statement is refused.
const (
	errNotKept    refusal = "The log is not kept here"
	errNotSpeaker refusal = "Only its writer, its deputies and trusted peers speak for a log"
	errNotHere    refusal = "The log is not that long here, or has another fork"
	errOld        refusal = "A newer statement is known"
)

// releasedOf returns what is released of a log. s.change is held.
func (s *Server) releasedOf(e *entry) (*released, error) {
	if e.open != nil && e.open.released != nil {
		return e.open.released, nil
	}
	st := &released{}
	c, err := s.store.DB().Core(e.dk)
	if errors.Is(err, storage.ErrNotFound) {
		return st, nil
	}
	if err == nil {
		var b []byte
		switch b, err = c.UserData(releasedName); {
		case errors.Is(err, storage.ErrNotFound):
			err = nil
		case err == nil:
			st, err = decodeReleased(b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read what is released of log %s: %w", e.Key, err)
	}
	if e.open != nil {
		e.open.released = st
	}
	return st, nil
}

// released answers what is released of a log.
func (s *Server) released(key hypercrypto.Key) (releaseState, error) {
	s.change.Lock()
	defer s.change.Unlock()
	e := s.ledger.entries[key.Discovery()]
	if e == nil {
		return releaseState{}, errNotKept
	}
	st, err := s.releasedOf(e)
	if err != nil {
		return releaseState{}, err
	}
	return st.state(), nil
}

// release does what a statement says, if the client may make it.
func (s *Server) release(ctx context.Context, c *conn, m *statement) (releaseState, error) {
	s.change.Lock()
	defer s.change.Unlock()
	e := s.ledger.entries[m.Log.Discovery()]
	if e == nil {
		return releaseState{}, errNotKept
	}
	core, err := s.store.Get(ctx, corestore.GetOptions{Key: &e.Key, Passive: true})
	if err != nil {
		return releaseState{}, fmt.Errorf("open log: %w", err)
	}
	defer core.Close()
	st, err := s.releasedOf(e)
	if err != nil {
		return releaseState{}, err
	}
	if err := s.maySpeak(c, core, st, m); err != nil {
		return releaseState{}, err
	}
	switch {
	case core.Fork() != m.Fork || core.Length() < m.To:
		return releaseState{}, errNotHere
	case m.Time <= st.time:
		return releaseState{}, errOld
	}
	next := &released{fork: m.Fork, time: m.Time, deputies: st.deputies}
	if st.fork == m.Fork {
		next.runs = slices.Clone(st.runs)
	}
	next.replace(m.From, m.To, m.Runs)
	if m.Signature != nil {
		next.deputies = m.Deputies
	}
	if err := s.clearReleased(ctx, e, core, next, m); err != nil {
		return releaseState{}, err
	}
	return next.state(), nil
}

// maySpeak tells whether a client may make a statement.
func (s *Server) maySpeak(c *conn, core *hypercore.Core, st *released, m *statement) error {
	if m.Signature != nil {
		// Of a log with several signers none alone speaks.
		rules := core.Manifest()
		if rules == nil {
			return errNotHere
		}
		if len(rules.Signers) == 1 && hypercrypto.Verify(rules.Signers[0].PublicKey, m.signed(s.keyPair.Public), m.Signature) {
			return nil
		}
		return errNotSpeaker
	}
	if s.isTrusted(c.key) || slices.Contains(st.deputies, c.key) {
		return nil
	}
	return errNotSpeaker
}

// clearReleased drops the blocks that a statement releases and remembers it. If it ends
// in between, the client is told nothing and says it again.
func (s *Server) clearReleased(ctx context.Context, e *entry, core *hypercore.Core, next *released, m *statement) error {
	if o := e.open; o != nil {
		if o.download != nil {
			o.download.Close() // else it fetches again what is cleared
			o.download = nil
		}
		defer func() {
			s.settle(ctx, e)
			s.orderAgain(e) // there may be no room for what settle found
		}()
	}
	cleared := false
	for _, r := range m.Runs {
		for start, end := range core.Held(r.Start, r.End) {
			cleared = true
			freed, err := s.sizeOf(e, start, end)
			if err == nil {
				err = core.Clear(ctx, start, end)
			}
			if err != nil {
				return fmt.Errorf("clear released blocks: %w", err)
			}
			s.mu.Lock()
			s.stats.BytesReleased += freed
			s.mu.Unlock()
		}
	}
	c, err := s.store.DB().Core(e.dk)
	if err != nil {
		return err
	}
	b := s.store.DB().NewBatch()
	defer b.Close()
	b.SetUserData(c, releasedName, next.appendTo(nil))
	if err := b.Commit(storage.Durable); err != nil {
		return fmt.Errorf("remember released blocks: %w", err)
	}
	if e.open != nil {
		e.open.released = next
	} else {
		s.account(e, core, next)
	}
	if cleared {
		if err := c.Shrink(ctx); err != nil {
			return fmt.Errorf("shrink log: %w", err)
		}
	}
	return nil
}

// sizeOf returns what held blocks take.
func (s *Server) sizeOf(e *entry, start, end uint64) (bytes uint64, err error) {
	c, err := s.store.DB().Core(e.dk)
	if err != nil {
		return 0, err
	}
	for i := start; i < end; i++ {
		n, err := c.BlockSize(i)
		if err != nil {
			return 0, err
		}
		bytes += uint64(n)
	}
	return bytes, nil
}

// orderAgain asks for the blocks of a log that were settled before.
func (s *Server) orderAgain(e *entry) {
	if e.open == nil {
		return
	}
	st, err := s.releasedOf(e)
	if err != nil {
		st = &released{}
	}
	s.order(e, st)
}

// account counts for a log that is not open what is released of it.
func (s *Server) account(e *entry, core *hypercore.Core, st *released) {
	r := e.Record
	all := r.Bytes + e.released
	out, _ := st.bytes(core, r.BlocksCleared, r.Length)
	out = min(all, out)
	r.Bytes = all - out
	s.mu.Lock()
	defer s.mu.Unlock()
	e.released = out
	s.ledger.set(e, r)
}

// bytes returns what the released blocks between two would take, and whether that is all.
// Runs of which the size is not known here count as nothing: it is known when the blocks
// beside them are held.
func (st *released) bytes(core *hypercore.Core, from, to uint64) (bytes uint64, all bool) {
	if st.sized && st.sizedFrom == from {
		return st.size, true
	}
	all = true
	for _, r := range between(st.runs, from, to) {
		start, err := core.ByteOffset(r.Start)
		if err == nil {
			var end uint64
			if end, err = core.ByteOffset(r.End); err == nil {
				bytes += end - min(start, end)
			}
		}
		all = all && err == nil
	}
	if n := len(st.runs); all && (n == 0 || st.runs[n-1].End <= to) {
		st.sized, st.sizedFrom, st.size = true, from, bytes
	}
	return bytes, all
}

// lacking returns how many blocks of a log are missing that are to be here. s.change is
// held.
func (s *Server) lacking(e *entry) (uint64, error) {
	st, err := s.releasedOf(e)
	if err != nil {
		return 0, err
	}
	c, err := s.store.DB().Core(e.dk)
	if err != nil {
		return 0, err
	}
	lacking, at := uint64(0), min(e.BlocksCleared, e.Length)
	for _, r := range append(between(st.runs, at, e.Length), hypercore.Run{Start: e.Length, End: e.Length}) {
		lacking += r.Start - at - c.CountHeld(at, r.Start)
		at = r.End
	}
	return lacking, nil
}
