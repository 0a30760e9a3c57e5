package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space"
	"github.com/tradle/cloudpal/internal/spacefs"
)

// sightingsData is next to the own blob log of a space: uint version (1), uint count, and for
// each node 32 its key; uint Proven, Failed, Seen, Looked, each in ms since 1970, 0 for
// never; uint level; uint Ops, Logs, and the four counts of Lack.
const sightingsData = "cloudpal/sightings"

const sightingsVersion = 1

// level is how much of a space somebody holds.
type level uint64

const (
	levelUnknown level = iota
	levelPart
	levelPresent
	levelAll
)

// sighting is what this device knows of another copy of a space, by its node.
type sighting struct {
	// Proven is when it last proved that it has what it says; Failed when it did not,
	// zero if that was before. Seen is when it was last connected, Looked when it was last
	// asked what it holds.
	Proven, Failed, Seen, Looked time.Time
	// What it held then: Logs counts the blocks that it lacked of the logs of operations and
	// state, Ops the operations on files that there were.
	Level level
	Ops   uint64
	Logs  uint64
	Lack  spacefs.Lack
}

// noteEvery is how old what is written down may be of when a node was seen.
const noteEvery = 10 * time.Minute

// sightings are those of all spaces. They are read once and written when they change.
type sightings struct {
	mu     sync.Mutex // guards what follows
	spaces map[hypercrypto.Key]map[hypercrypto.PublicKey]sighting
	stored map[hypercrypto.Key]map[hypercrypto.PublicKey]sighting
}

// of returns what is known of a space's nodes. mu is held.
func (x *sightings) of(s *space.Space) map[hypercrypto.PublicKey]sighting {
	key := s.Key()
	if known := x.spaces[key]; known != nil {
		return known
	}
	if x.spaces == nil {
		x.spaces, x.stored = make(map[hypercrypto.Key]map[hypercrypto.PublicKey]sighting), make(map[hypercrypto.Key]map[hypercrypto.PublicKey]sighting)
	}
	b, err := s.BlobLog().UserData(sightingsData)
	var known map[hypercrypto.PublicKey]sighting
	if err == nil {
		known, err = decodeSightings(b)
	}
	if err != nil || known == nil {
		known = make(map[hypercrypto.PublicKey]sighting) // it is only to be seen again
	}
	x.spaces[key], x.stored[key] = known, maps.Clone(known)
	return known
}

// get returns what is known of a node of a space.
func (x *sightings) get(s *space.Space, node hypercrypto.PublicKey) sighting {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.of(s)[node]
}

// note changes what is known of a node, and writes that down if it is worth it.
func (x *sightings) note(s *space.Space, node hypercrypto.PublicKey, change func(*sighting)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.of(s)
	now := known[node]
	change(&now)
	known[node] = now
	before := x.stored[s.Key()][node]
	if now.Proven.Equal(before.Proven) && now.Failed.Equal(before.Failed) && now.Level == before.Level && now.Seen.Sub(before.Seen) < noteEvery &&
		(now.Ops == before.Ops || now.Looked.Sub(before.Looked) < noteEvery) {
		return nil
	}
	return x.store(s, known)
}

// keep forgets all nodes of a space but these.
func (x *sightings) keep(s *space.Space, nodes []hypercrypto.PublicKey) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.of(s)
	before := len(known)
	maps.DeleteFunc(known, func(n hypercrypto.PublicKey, _ sighting) bool { return !slices.Contains(nodes, n) })
	if len(known) == before {
		return nil
	}
	return x.store(s, known)
}

// flush writes down what was not worth it before: the node closes.
func (x *sightings) flush(spaces []*space.Space) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range spaces {
		if known := x.spaces[s.Key()]; known != nil && !maps.Equal(known, x.stored[s.Key()]) {
			if err := x.store(s, known); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *sightings) store(s *space.Space, known map[hypercrypto.PublicKey]sighting) error {
	if err := s.BlobLog().SetUserData(sightingsData, encodeSightings(known)); err != nil {
		return fmt.Errorf("remember who holds a space: %w", err)
	}
	x.stored[s.Key()] = maps.Clone(known)
	return nil
}

func encodeSightings(known map[hypercrypto.PublicKey]sighting) []byte {
	b := compact.AppendUint(compact.AppendUint(nil, sightingsVersion), uint64(len(known)))
	for _, node := range slices.SortedFunc(maps.Keys(known), func(a, b hypercrypto.PublicKey) int { return slices.Compare(a[:], b[:]) }) {
		x := known[node]
		b = append(b, node[:]...)
		for _, n := range []uint64{millis(x.Proven), millis(x.Failed), millis(x.Seen), millis(x.Looked), uint64(x.Level), x.Ops, x.Logs,
			x.Lack.Contents, x.Lack.Bytes, x.Lack.Present, x.Lack.PresentBytes} {
			b = compact.AppendUint(b, min(n, compact.MaxUint))
		}
	}
	return b
}

func decodeSightings(b []byte) (map[hypercrypto.PublicKey]sighting, error) {
	known := make(map[hypercrypto.PublicKey]sighting)
	if len(b) == 0 {
		return known, nil
	}
	r := compact.NewReader(b)
	if v := r.Uint(); r.Err() == nil && v != sightingsVersion {
		return nil, fmt.Errorf("sightings of version %d", v)
	}
	for range r.Count(32 + 11) {
		node := hypercrypto.PublicKey(r.Fixed32())
		x := sighting{Proven: fromMillis(r.Uint()), Failed: fromMillis(r.Uint()), Seen: fromMillis(r.Uint()), Looked: fromMillis(r.Uint())}
		x.Level, x.Ops, x.Logs = min(level(r.Uint()), levelAll), r.Uint(), r.Uint()
		x.Lack = spacefs.Lack{Contents: r.Uint(), Bytes: r.Uint(), Present: r.Uint(), PresentBytes: r.Uint()}
		known[node] = x
	}
	return known, r.Err()
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(0, t.UnixMilli()))
}

func fromMillis(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// holders returns the nodes of the mirrors and of the other devices of a space, each
// once. It implements [api.Backend.Holders].
func (n *Node) holders(ctx context.Context, s *space.Space) (nodes []hypercrypto.PublicKey, err error) {
	if nodes, err = mirrorsOf(ctx, s); err != nil {
		return nil, err
	}
	devices, err := s.Devices(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if !d.Self && !d.Removed && d.Node != (hypercrypto.PublicKey{}) && d.Node != n.network.keyPair.Public && !slices.Contains(nodes, d.Node) {
			nodes = append(nodes, d.Node)
		}
	}
	return nodes, nil
}
