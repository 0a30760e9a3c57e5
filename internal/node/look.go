package node

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

const (
	// lookOpen is how long peers may take to open the logs of a space, if no more of them
	// come for lookQuiet; lookAsk how long they may take to say what they hold.
	lookOpen  = 3 * time.Second
	lookQuiet = 500 * time.Millisecond
	lookAsk   = 5 * time.Second
)

// look is what is to be seen of the copies of a space: of this device, the first, and of
// those that are connected.
type look struct {
	survey *spacefs.Survey
	seers  []seer
	at     time.Time
}

// seer tells what one of them holds of the logs.
type seer struct {
	spacefs.Holder
	node hypercrypto.PublicKey
	logs uint64 // blocks that it lacks of the logs of operations and state
	late bool   // it lacks the end of some, or of the state anything
}

// sighting describes the copy at a place of the list.
func (l *look) sighting(i int) sighting {
	s, lack := l.seers[i], l.survey.Lacks[i]
	x := sighting{Looked: l.at, Ops: l.survey.Ops, Logs: s.logs, Lack: lack, Level: levelPart}
	switch {
	case s.logs == 0 && lack.Contents == 0:
		x.Level = levelAll
	case !s.late && lack.Present == 0:
		x.Level = levelPresent
	}
	return x
}

// look looks at a space, and remembers what is seen of others.
func (n *Node) look(ctx context.Context, s *space.Space, nodes []hypercrypto.PublicKey) (*look, error) {
	select {
	case n.looking <- struct{}{}:
		defer func() { <-n.looking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	parts, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	logs := make(openLogs)
	defer logs.close()
	for key, length := range parts.Logs() {
		if err := logs.open(ctx, n.store, key, length); err != nil {
			return nil, err
		}
	}
	var online []hypercrypto.PublicKey
	for _, node := range nodes {
		if n.online(node) {
			online = append(online, node)
		}
	}
	l := &look{at: time.Now(), seers: []seer{{Holder: logs}}}
	peers := logs.peers(ctx, online)
	for _, node := range online {
		if of := peers[node]; len(of) > 0 { // else it has not said anything yet
			l.seers = append(l.seers, seer{Holder: of, node: node})
		}
	}
	holders := make([]spacefs.Holder, len(l.seers))
	for i := range l.seers {
		l.seers[i].see(parts, logs)
		holders[i] = l.seers[i].Holder
	}
	if l.survey, err = n.content.Of(s).Survey(ctx, holders...); err != nil {
		return nil, err
	}
	for i := 1; i < len(l.seers); i++ {
		if !n.online(l.seers[i].node) {
			continue // it went while it was looked at
		}
		now := l.sighting(i)
		err := n.seen.note(s, l.seers[i].node, func(x *sighting) {
			now.Proven, now.Failed, now.Seen = x.Proven, x.Failed, l.at
			*x = now
		})
		if err != nil {
			return nil, err
		}
	}
	return l, n.seen.keep(s, nodes)
}

// see counts what is lacking of the logs that are not contents.
func (s *seer) see(parts *space.Parts, logs openLogs) {
	for key := range parts.State {
		length := logs.length(key)
		lacks := length - min(length, s.Holds(key, 0, length))
		s.logs += lacks
		s.late = s.late || lacks > 0
	}
	for key := range parts.Operations {
		if length := logs.length(key); length > 0 {
			s.logs += length - min(length, s.Holds(key, 0, length))
			s.late = s.late || s.Holds(key, length-1, length) == 0
		}
	}
}

// openLog is a log with the length that a copy of it has to have.
type openLog struct {
	core   *hypercore.Core
	length uint64
}

type openLogs map[hypercrypto.Key]openLog

// open opens a log, unless it is empty. It is open for exchange, or others close it.
func (l openLogs) open(ctx context.Context, store *corestore.Store, key hypercrypto.Key, length uint64) error {
	core, err := store.Get(ctx, corestore.GetOptions{Key: &key})
	if err != nil {
		return err
	}
	if length = max(length, core.Length()); length == 0 {
		return core.Close()
	}
	l[key] = openLog{core, length}
	return nil
}

func (l openLogs) length(key hypercrypto.Key) uint64 { return l[key].length }

func (l openLogs) close() error {
	var errs []error
	for _, x := range l {
		errs = append(errs, x.core.Close())
	}
	return errors.Join(errs...)
}

// peers returns what nodes have open of the logs, after they said what they hold of it. It
// waits a moment for those that do not.
func (l openLogs) peers(ctx context.Context, nodes []hypercrypto.PublicKey) map[hypercrypto.PublicKey]peerIn {
	found := make(map[hypercrypto.PublicKey]peerIn)
	for _, node := range nodes {
		found[node] = make(peerIn)
	}
	count := func() (n int) {
		for key, log := range l {
			for _, p := range log.core.Peers() {
				if of := found[p.PublicKey()]; of != nil {
					of[key] = p
				}
			}
		}
		for _, of := range found {
			n += len(of)
		}
		return n
	}
	began := time.Now()
	for last, news := -1, began; ; {
		n := count()
		if n == len(nodes)*len(l) || time.Since(began) > lookOpen || n == last && time.Since(news) > lookQuiet {
			break
		}
		if n != last {
			last, news = n, time.Now()
		}
		if !pause(ctx, 10*time.Millisecond) {
			break
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookAsk)
	defer cancel()
	var wg sync.WaitGroup
	for _, of := range found {
		for key, p := range maps.All(of) {
			wg.Go(func() { _ = p.Ask(ctx, 0, l.length(key)) }) // who is silent holds nothing
		}
	}
	wg.Wait()
	return found
}

// peerIn is what a peer holds.
type peerIn map[hypercrypto.Key]*hypercore.Peer

// Holds implements [spacefs.Holder].
func (h peerIn) Holds(log hypercrypto.Key, start, end uint64) uint64 {
	if p := h[log]; p != nil {
		return p.Holds(start, end)
	}
	return 0
}

// Holds implements [spacefs.Holder]: what this device holds.
func (l openLogs) Holds(log hypercrypto.Key, start, end uint64) (blocks uint64) {
	x, ok := l[log]
	if !ok {
		return 0
	}
	if x.core.Has(start, end) {
		return end - start
	}
	for from, to := range x.core.Held(start, end) {
		blocks += to - from
	}
	return blocks
}
