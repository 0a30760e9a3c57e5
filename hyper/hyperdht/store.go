package hyperdht

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

const (
	recordTTL = 20 * time.Minute
	valueTTL  = 48 * time.Hour
	// maxBumpDrift is how far in the future a bump may be.
	maxBumpDrift = time.Minute
	// lookupPeers is how many peers a lookup returns at most.
	lookupPeers = 20
)

// Limits bound what a node stores for others. Zero fields take the defaults.
type Limits struct {
	// Records is the number of peers in topics, of routes to servers, and so
	// on, each. Default 65536.
	Records int
	// Values is the number of mutable and of immutable values, each. Default
	// 32768.
	Values int
	// ValueBytes is the size of mutable and of immutable values, each. Default
	// 32 MiB.
	ValueBytes int
}

func (l Limits) withDefaults() Limits {
	if l.Records <= 0 {
		l.Records = 65536
	}
	if l.Values <= 0 {
		l.Values = 32768
	}
	if l.ValueBytes <= 0 {
		l.ValueBytes = 32 << 20
	}
	return l
}

// topicKey names a peer's record in a topic.
type topicKey struct {
	target dhtrpc.ID
	key    hypercrypto.PublicKey
}

type topicRecord struct {
	record []byte // an encoded Peer
	at     int    // index in its topic
}

// refreshable is what a refresh token renews.
type refreshable struct {
	target dhtrpc.ID
	record []byte
	self   bool
}

// store answers the commands that a persistent node is asked about records.
type store struct {
	node   *dhtrpc.Node // set once, before the first request
	router *router

	mu         sync.Mutex // guards what follows
	records    *cache[topicKey, *topicRecord]
	topics     map[dhtrpc.ID][]*topicRecord
	bumps      *cache[dhtrpc.ID, uint64]
	refreshes  *cache[[32]byte, refreshable]
	mutables   *cache[dhtrpc.ID, mutable]
	immutables *cache[dhtrpc.ID, []byte]
}

func newStore(router *router, l Limits) *store {
	const each = 1 << 10 // more than a record takes
	s := &store{
		router:     router,
		records:    newCache[topicKey, *topicRecord](recordTTL, l.Records, l.Records*each),
		topics:     make(map[dhtrpc.ID][]*topicRecord),
		bumps:      newCache[dhtrpc.ID, uint64](recordTTL, l.Records, l.Records*each),
		refreshes:  newCache[[32]byte, refreshable](recordTTL, l.Records, l.Records*each),
		mutables:   newCache[dhtrpc.ID, mutable](valueTTL, l.Values, l.ValueBytes),
		immutables: newCache[dhtrpc.ID, []byte](valueTTL, l.Values, l.ValueBytes),
	}
	s.records.gone = s.leaveTopic
	return s
}

// handle answers a request; false means that the command is unknown here. What
// is malformed or not allowed is not answered.
func (s *store) handle(r *dhtrpc.Request) bool {
	id, persistent := s.node.PersistentID()
	if !persistent || r.Command < cmdFindPeer || r.Command > cmdImmutableGet {
		return false
	}
	if r.Target == nil {
		return true
	}
	now := time.Now()
	ok, o := false, dhtrpc.Reply{}
	full := dhtrpc.Reply{Token: true, Closer: true}
	switch r.Command {
	case cmdFindPeer:
		ok, o = true, full
		o.Value = s.router.record(now, *r.Target)
	case cmdLookup:
		ok, o = true, full
		o.Value = s.lookup(now, *r.Target)
	case cmdMutableGet:
		if r.Value != nil {
			rd := compact.NewReader(r.Value)
			seq := rd.Uint()
			ok, o = rd.Err() == nil, full
			o.Value = s.getMutable(now, *r.Target, seq)
		}
	case cmdImmutableGet:
		ok, o = true, full
		s.mu.Lock()
		o.Value, _ = s.immutables.get(now, *r.Target, true)
		s.mu.Unlock()
	default:
		if r.Token == nil || r.Value == nil {
			return true
		}
		switch r.Command {
		case cmdAnnounce:
			ok = s.announce(now, r, &id)
		case cmdUnannounce:
			ok = s.unannounce(r, &id)
		case cmdMutablePut:
			ok, o.Code = s.putMutable(now, r)
			o.Closer, o.Token = true, o.Code == dhtrpc.CodeNone
		case cmdImmutablePut:
			ok, o = s.putImmutable(now, r), full
		}
	}
	if ok {
		r.Reply(o)
	}
	return true
}

func (s *store) lookup(now time.Time, target dhtrpc.ID) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records.expire(now)
	topic := s.topics[target]
	// A few swaps leave a random choice in front.
	n := min(len(topic), lookupPeers)
	for i := range n {
		j := i + rand.IntN(len(topic)-i)
		topic[i], topic[j] = topic[j], topic[i]
		topic[i].at, topic[j].at = i, j
	}
	var route []byte
	if n < lookupPeers {
		route = s.router.record(now, target)
	}
	count := n
	if route != nil {
		count++
	}
	if count == 0 {
		return nil
	}
	b := compact.AppendUint(make([]byte, 0, 64*count), uint64(count))
	for _, t := range topic[:n] {
		b = append(b, t.record...)
	}
	b = append(b, route...)
	bump, _ := s.bumps.get(now, target, true)
	return compact.AppendUint(b, bump)
}

func (s *store) announce(now time.Time, r *dhtrpc.Request, id *dhtrpc.ID) bool {
	a, err := decodeAnnouncement(r.Value)
	if err != nil {
		return false
	}
	if a.peer == nil {
		return a.refresh != nil && s.refresh(now, r, *a.refresh)
	}
	if !a.verify(&nsAnnounce, r.Target, id, r.Token) {
		return false
	}
	kept := *a.peer
	kept.Relays = kept.Relays[:min(len(kept.Relays), maxRelays)]
	v := refreshable{target: *r.Target, record: kept.appendTo(nil), self: targetOf(kept.PublicKey) == *r.Target}
	if !s.keep(now, v, kept.PublicKey, r.From) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !v.self && a.bump > 0 && a.bump <= uint64(now.Add(maxBumpDrift).UnixMilli()) {
		if old, _ := s.bumps.get(now, v.target, false); a.bump > old {
			s.bumps.set(now, v.target, a.bump, 8, r.From.Addr())
		}
	}
	if a.refresh != nil {
		s.refreshes.set(now, *a.refresh, v, len(v.record), r.From.Addr())
	}
	return true
}

// keep stores a record, as a route or in its topic.
func (s *store) keep(now time.Time, v refreshable, key hypercrypto.PublicKey, from netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := topicKey{v.target, key}
	if v.self {
		s.records.delete(k)
		return s.router.set(now, v.target, from, v.record)
	}
	t := &topicRecord{record: v.record}
	if !s.records.set(now, k, t, len(v.record), from.Addr()) {
		return false
	}
	if _, ok := s.records.items[k]; ok {
		t.at = len(s.topics[v.target])
		s.topics[v.target] = append(s.topics[v.target], t)
	}
	return true
}

// leaveTopic is called when a record leaves its cache; mu is held.
func (s *store) leaveTopic(k topicKey, t *topicRecord) {
	topic := s.topics[k.target]
	last := len(topic) - 1
	topic[t.at] = topic[last]
	topic[t.at].at = t.at
	topic[last] = nil
	if last == 0 {
		delete(s.topics, k.target)
	} else {
		s.topics[k.target] = topic[:last]
	}
}

// refresh renews a record by a token whose hash was left with it. The token
// becomes the next hash.
func (s *store) refresh(now time.Time, r *dhtrpc.Request, token [32]byte) bool {
	hash := [32]byte(hypercrypto.Sum(token[:]))
	s.mu.Lock()
	v, ok := s.refreshes.get(now, hash, false)
	if ok {
		s.refreshes.delete(hash)
		s.refreshes.set(now, token, v, len(v.record), r.From.Addr())
	}
	s.mu.Unlock()
	return ok && s.keep(now, v, hypercrypto.PublicKey(v.record[:32]), r.From)
}

func (s *store) unannounce(r *dhtrpc.Request, id *dhtrpc.ID) bool {
	a, err := decodeAnnouncement(r.Value)
	if err != nil || !a.verify(&nsUnannounce, r.Target, id, r.Token) {
		return false
	}
	if targetOf(a.peer.PublicKey) == *r.Target {
		s.router.delete(*r.Target)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records.delete(topicKey{*r.Target, a.peer.PublicKey})
	return true
}

func (s *store) getMutable(now time.Time, target dhtrpc.ID, seq uint64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.mutables.get(now, target, true)
	if !ok || m.seq < seq {
		return nil
	}
	return m.appendTo(nil)
}

func (s *store) putMutable(now time.Time, r *dhtrpc.Request) (ok bool, code uint64) {
	rd := compact.NewReader(r.Value)
	key := hypercrypto.PublicKey(rd.Fixed32())
	m := readMutable(&rd)
	if rd.Err() != nil || targetOf(key) != *r.Target || !m.verify(key) {
		return false, 0
	}
	m.value = append([]byte{}, m.value...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.mutables.get(now, *r.Target, true); ok {
		if m.seq == old.seq && !bytes.Equal(m.value, old.value) {
			return true, codeSeqReused
		}
		if m.seq < old.seq {
			return true, codeSeqTooLow
		}
	}
	return s.mutables.set(now, *r.Target, m, len(m.value)+128, r.From.Addr()), 0
}

func (s *store) putImmutable(now time.Time, r *dhtrpc.Request) bool {
	if dhtrpc.ID(hypercrypto.Sum(r.Value)) != *r.Target {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.immutables.set(now, *r.Target, append([]byte{}, r.Value...), len(r.Value)+64, r.From.Addr())
}
