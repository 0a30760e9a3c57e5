package autobase

import (
	"slices"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/oplog"
)

const (
	// announceLater is when to look again for nodes that were not durable.
	announceLater = 20 * time.Millisecond
	// A log is announced again after these times, the shorter one first and then
	// doubling, as long as it has nodes that are not confirmed.
	announceAgain  = time.Second
	announceSeldom = time.Minute
)

// told is what a peer was told of a log, and when to say it again: peers forget.
// A JavaScript peer that was about to load a log does not any more once another
// log made it begin an epoch, even if it has the log open and all blocks of it.
type told struct {
	length uint64
	open   bool // the peer had the log open
	again  time.Time
	pause  time.Duration
}

// due tells whether to announce a log now. Who has it open hears of new nodes
// anyway, and is only told again.
func (t *told) due(length uint64, open bool, now time.Time) bool {
	if length > t.length || t.open && !open {
		t.pause = announceAgain
		switch soon := now.Add(announceAgain); {
		case !open:
			t.again = now
		case t.again.IsZero() || t.again.After(soon):
			t.again = soon
		}
	}
	t.length, t.open = length, open
	if now.Before(t.again) {
		return false
	}
	t.again = now.Add(t.pause)
	t.pause = min(2*t.pause, announceSeldom)
	return true
}

// announceAll tells peers about logs with nodes that are not confirmed. b.mu is
// held.
func (b *Base) announceAll() {
	if len(b.peers) == 0 {
		return
	}
	var refs []oplog.Ref
	var open []map[hypercrypto.PublicKey]bool // who has the log open
	late := false
	for _, w := range b.e.writers {
		if len(w.nodes) == 0 && !b.e.leadsOn(w) || w.frozen != nil || len(refs) >= maxAnnounced {
			continue
		}
		r := oplog.Ref{Key: w.key, Length: min(w.given, w.core.PublishedLength())}
		// Peers are not told of what may be lost in a crash.
		late = late || r.Length < w.given
		if r.Length == 0 {
			continue
		}
		peers := make(map[hypercrypto.PublicKey]bool)
		for _, p := range w.core.Peers() {
			peers[p.PublicKey()] = true
		}
		refs, open = append(refs, r), append(open, peers)
	}
	now := time.Now()
	wait := announceSeldom
	if late {
		wait = announceLater
	}
	for p := range b.peers {
		select {
		case <-p.m.Done():
			delete(b.peers, p)
			continue
		default:
		}
		if t := p.announce(refs, open, now); !t.IsZero() {
			wait = min(wait, t.Sub(now))
		}
	}
	if len(refs) == 0 && !late {
		return
	}
	if b.again == nil {
		b.again = time.AfterFunc(wait, b.poke)
	} else {
		b.again.Reset(wait)
	}
}

// leadsOn tells whether a peer that knows nothing of a fork may need a log to hear of
// it: who forked may be the only one that confirms, so that nothing is left
// unconfirmed.
func (e *engine) leadsOn(w *writer) bool {
	return len(e.keys.entropies) > 0 && slices.ContainsFunc(e.heads, func(h oplog.Ref) bool { return h.Key == w.key })
}

// announce tells a peer what it may not know of, and returns when to do so again.
func (p *wakeupPeer) announce(refs []oplog.Ref, open []map[hypercrypto.PublicKey]bool, now time.Time) (again time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return again
	}
	key := p.m.Stream().RemotePublicKey()
	if len(p.told) > 2*len(refs)+maxAnnounced/64 {
		clear(p.told) // most of it is about nodes that are confirmed
	}
	var news []oplog.Ref
	for i, r := range refs {
		t := p.told[r.Key]
		if t == nil {
			t = &told{}
			p.told[r.Key] = t
		}
		if t.due(r.Length, open[i][key], now) || p.asks {
			news = append(news, r)
		}
		if again.IsZero() || t.again.Before(again) {
			again = t.again
		}
	}
	if len(news) > 0 {
		p.asks = false
		p.ch.Send(wakeupAnnounce, appendAnnouncement(nil, news))
	}
	return again
}

// decodeAnnouncement reads the logs in an announcement, as far as they are
// looked at: uint count, { 32 key, uint length } …
func decodeAnnouncement(body []byte) ([]oplog.Ref, error) {
	r := compact.NewReader(body)
	n := r.Count(33)
	var refs []oplog.Ref
	for range min(n, maxAnnounced) {
		k := oplog.Ref{Key: r.Fixed32(), Length: r.Uint()}
		if r.Err() != nil {
			break
		}
		refs = append(refs, k)
	}
	return refs, r.Err()
}

func appendAnnouncement(b []byte, refs []oplog.Ref) []byte {
	b = compact.AppendUint(b, uint64(len(refs)))
	for _, r := range refs {
		b = append(b, r.Key[:]...)
		b = compact.AppendUint(b, r.Length)
	}
	return b
}
