package space

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// candidate is a device that may confirm what others write.
type candidate struct {
	log      hypercrypto.Key
	alwaysOn bool
	owner    bool
	indexer  bool
	online   bool // as far as this device can tell
	since    uint64
}

// wantedIndexers returns how many of n devices confirm. A majority of them has to be
// online for that, so one is better than two, and three are enough for one to be lost.
func wantedIndexers(n int) int {
	if n < 3 {
		return 1
	}
	return 3
}

// better orders candidates: those that are always on, those of owners, those that do it
// already, those that came first.
func better(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(b2i(b.alwaysOn), b2i(a.alwaysOn)),
		cmp.Compare(b2i(b.owner), b2i(a.owner)),
		cmp.Compare(b2i(b.indexer), b2i(a.indexer)),
		cmp.Compare(a.since, b.since),
		slices.Compare(a.log[:], b.log[:]),
	)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nextIndexer returns the next change on the way from the devices that confirm to those
// that should: first all come that are missing, then those go that are too many. Of those
// that do not confirm yet only the ones that are online count: who is needed has to be
// there, or nothing would be confirmed any more.
func nextIndexer(list []candidate) (log hypercrypto.Key, add, ok bool) {
	list = slices.SortedFunc(slices.Values(list), better)
	list = slices.DeleteFunc(list, func(c candidate) bool { return !c.indexer && !c.online })
	want := wantedIndexers(len(list))
	for i, c := range list {
		if i < want && !c.indexer {
			return c.log, true, true
		}
	}
	for i := len(list) - 1; i >= want; i-- {
		if list[i].indexer {
			return list[i].log, false, true
		}
	}
	return log, false, false
}

// candidates returns the devices that may confirm: those that write, and have written.
func (s *Space) candidates(ctx context.Context) (list []candidate, turn uint64, err error) {
	tree, release := s.snaps.use()
	defer release()
	r := records{tree}
	if turn, err = r.number(ctx, settingTurn); err != nil {
		return nil, 0, err
	}
	devices, err := r.devices(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, d := range devices {
		if d.rec.until != 0 {
			continue
		}
		p, err := r.person(ctx, d.rec.person)
		if err != nil {
			return nil, 0, err
		}
		if p == nil || p.until != 0 || !p.role.writes() {
			continue
		}
		m, ok, err := s.base.Member(ctx, d.key)
		if err != nil {
			return nil, 0, err
		}
		if !ok || m.Removed || m.Length == 0 {
			continue
		}
		list = append(list, candidate{log: d.key, alwaysOn: d.rec.alwaysOn, owner: p.role == Owner, indexer: d.rec.indexer,
			online: s.present(d.key, d.rec.node, m.Length), since: d.rec.since})
	}
	return list, turn, nil
}

// heardLately is how long a device counts as online after something of it arrived.
const heardLately = 5 * time.Minute

// presence notes when something of devices arrived.
type presence struct {
	mu    sync.Mutex // guards heard
	heard map[hypercrypto.Key]heard
}

type heard struct {
	length uint64
	at     time.Time // zero: before this device began to look
}

// present tells whether a device is online: it is this one, is connected, or wrote lately.
func (s *Space) present(log hypercrypto.Key, node hypercrypto.PublicKey, length uint64) bool {
	if log == s.Log() || s.l.opts.Online == nil {
		return true
	}
	p := &s.presence
	p.mu.Lock()
	h, known := p.heard[log]
	if p.heard == nil {
		p.heard = make(map[hypercrypto.Key]heard)
	}
	switch {
	case !known:
		h = heard{length: length}
	case length > h.length:
		h = heard{length, time.Now()}
	}
	p.heard[log] = h
	p.mu.Unlock()
	return node != noNode && s.l.opts.Online(node) || !h.at.IsZero() && time.Since(h.at) < s.l.opts.lately
}

// tendIndexers makes the right devices confirm, one change at a time. Devices of owners
// do it in turns, so that the first that is online does.
func (w *steward) tendIndexers(ctx context.Context, p *person) error {
	if p.role != Owner {
		return nil
	}
	list, turn, err := w.s.candidates(ctx)
	if err != nil {
		return err
	}
	log, add, ok := nextIndexer(list)
	if !ok || !w.s.base.Settled() {
		delete(w.due, dueIndexers)
		return nil
	}
	since, waiting := w.due[dueIndexers]
	if !waiting {
		since = time.Now()
		w.due[dueIndexers] = since
	}
	if time.Since(since) < time.Duration(w.rank(list)+1)*4*w.s.l.opts.AckInterval {
		return nil
	}
	delete(w.due, dueIndexers)
	return w.s.changeIndexer(ctx, turn, log, add)
}

const dueIndexers = "indexers"

// rank is the place of this device among those of owners: those that confirm are first.
func (w *steward) rank(list []candidate) int {
	list = slices.DeleteFunc(slices.SortedFunc(slices.Values(list), better), func(c candidate) bool { return !c.owner })
	return max(0, slices.IndexFunc(list, func(c candidate) bool { return c.log == w.s.Log() }))
}

func (s *Space) changeIndexer(ctx context.Context, turn uint64, log hypercrypto.Key, add bool) error {
	values, err := s.envelopes(ctx, 1, coreType, [][]byte{encodeAction(&indexerAction{turn: turn, add: add, log: log})})
	if err != nil {
		return err
	}
	r, err := s.base.ChangeMembers(ctx, values[0])
	if err != nil {
		return s.explain(err)
	}
	if o := r.Outcome(); o.Err != nil {
		return s.explain(o.Err)
	}
	return nil
}

// handOver sees to it that somebody confirms when some devices are gone: if they alone
// do, another one has to take over first.
func (s *Space) handOver(ctx context.Context, gone []hypercrypto.Key) error {
	for _, r := range s.base.Status().Indexers {
		if !slices.Contains(gone, r.Key) {
			return nil
		}
	}
	list, turn, err := s.candidates(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(c candidate) bool { return slices.Contains(gone, c.log) || c.indexer })
	if len(list) == 0 {
		return nil // the removal is going to say why it is impossible
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b2i(b.online), b2i(a.online)), better(a, b))
	})
	if err := s.settleByOthers(ctx); err != nil {
		return err
	}
	if err := s.changeIndexer(ctx, turn, list[0].log, true); errors.Is(err, errRefused) {
		return err // who may not do that may not remove anybody who confirms
	} else if err != nil {
		return fmt.Errorf("let another device confirm: %w", err)
	}
	return s.settleByOthers(ctx)
}

// awayPatience is how long it is waited for devices that confirm and are not connected.
const awayPatience = 30 * time.Second

// settleByOthers is settle for who may wait in vain: it gives up if the devices that
// confirm are away.
func (s *Space) settleByOthers(ctx context.Context) error {
	for {
		wait, cancel := context.WithTimeout(ctx, s.l.opts.patience)
		err := s.settle(wait)
		late := wait.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !late {
			return err
		}
		if err := s.checkConfirming(ctx); err != nil {
			return err
		}
	}
}

// checkConfirming tells whether enough of the devices that confirm are connected.
func (s *Space) checkConfirming(ctx context.Context) error {
	devices, err := s.Devices(ctx)
	if err != nil || s.l.opts.Online == nil {
		return err
	}
	var away []string
	all := 0
	for _, d := range devices {
		if !d.Indexer || d.Removed {
			continue
		}
		if all++; !d.Self && !s.l.opts.Online(d.Node) {
			away = append(away, d.Name)
		}
	}
	if 2*len(away) < all {
		return nil
	}
	return fault.New(fault.Unavailable, "space %q: its changes are confirmed by %s, and that is not online", s.Name(), strings.Join(away, " and ")).
		Hint("bring it online, or, if it is lost: cloudpal space recover %q", s.Name())
}

// maxNudges bounds what is written while waiting for others that may be offline.
const maxNudges = 10

// settle waits until the change of members before is confirmed. Devices that confirm
// answer what is new, but not each other's answers: if that is all there is, who waits
// for more writes something that changes nothing.
func (s *Space) settle(ctx context.Context) error {
	tick := time.NewTicker(2 * s.l.opts.AckInterval)
	defer tick.Stop()
	for left := maxNudges; ; {
		changed := s.Changed()
		if err := s.base.Err(); err != nil {
			return s.explain(err)
		}
		if s.base.Settled() {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
			if left--; left < 0 {
				continue
			}
			_, dev, err := s.self(ctx)
			if err == nil && dev != nil {
				_, err = s.do(ctx, s.description(dev))
			}
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for the devices that confirm: %w", ctx.Err())
		}
	}
}
