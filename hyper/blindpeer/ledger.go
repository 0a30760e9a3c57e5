package blindpeer

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// What a record and a block cost beside the bytes of the block: keys, tree nodes,
// indexes. A log of empty blocks is not free.
const (
	recordCost = 512
	blockCost  = 128
)

// entry is a log that was asked for. Its fields are changed with Server.change and
// Server.mu held, so that either is enough to read them.
type entry struct {
	Record
	dk       hypercrypto.DiscoveryKey
	owner    hypercrypto.PublicKey // who asked first
	cost     uint64                // as counted in the sums
	released uint64                // bytes of Record.Bytes that do not count, since they are released
	over     bool                  // it grew, and there was no room
	gone     bool                  // forgotten
	open     *opened               // nil while nobody exchanges it
	touched  atomic.Int64          // when blocks came or went last, in ns since 1970; 0 once Active says so
}

func costOf(r *Record) uint64 { return recordCost + r.Bytes + r.Length*blockCost }

// usage is what one client's logs take.
type usage struct {
	bytes uint64
	logs  int
}

// group are the logs of one referrer.
type group struct {
	key     hypercrypto.Key
	entries map[*entry]struct{}
	wakers  map[*waker]struct{} // clients that want to hear of them
}

// ledger is the sum of all entries. Server.mu guards it.
type ledger struct {
	entries   map[hypercrypto.DiscoveryKey]*entry
	clients   map[hypercrypto.PublicKey]*usage
	groups    map[hypercrypto.DiscoveryKey]*group // by discovery key of the referrer
	dirty     map[*entry]struct{}                 // not stored as they are
	bytes     uint64
	announced int
}

func newLedger() ledger {
	return ledger{entries: make(map[hypercrypto.DiscoveryKey]*entry), clients: make(map[hypercrypto.PublicKey]*usage),
		groups: make(map[hypercrypto.DiscoveryKey]*group), dirty: make(map[*entry]struct{})}
}

func (l *ledger) add(e *entry) {
	l.entries[e.dk] = e
	e.cost = costOf(&e.Record)
	l.bytes += e.cost
	u := l.client(e.owner)
	u.bytes += e.cost
	u.logs++
	if e.Announce {
		l.announced++
	}
	if e.Referrer != nil {
		l.group(*e.Referrer).entries[e] = struct{}{}
	}
}

func (l *ledger) remove(e *entry) {
	delete(l.entries, e.dk)
	delete(l.dirty, e)
	l.bytes -= e.cost
	l.leaveOwner(e)
	if e.Announce {
		l.announced--
	}
	if e.Referrer != nil {
		g := l.group(*e.Referrer)
		delete(g.entries, e)
		l.tidy(g)
	}
	e.gone = true
}

// set replaces the record of an entry.
func (l *ledger) set(e *entry, r Record) {
	if r.Announce != e.Announce {
		l.announced++ // it is never taken back
	}
	e.Record = r
	l.dirty[e] = struct{}{}
	cost := costOf(&r)
	u := l.client(e.owner)
	l.bytes += cost - e.cost
	u.bytes += cost - e.cost
	e.cost = cost
}

// setOwner gives an entry to another client.
func (l *ledger) setOwner(e *entry, owner hypercrypto.PublicKey) {
	l.leaveOwner(e)
	e.owner = owner
	l.dirty[e] = struct{}{}
	u := l.client(owner)
	u.bytes += e.cost
	u.logs++
}

func (l *ledger) leaveOwner(e *entry) {
	u := l.client(e.owner)
	u.bytes -= e.cost
	if u.logs--; u.logs == 0 {
		delete(l.clients, e.owner)
	}
}

func (l *ledger) client(key hypercrypto.PublicKey) *usage {
	u := l.clients[key]
	if u == nil {
		u = &usage{}
		l.clients[key] = u
	}
	return u
}

func (l *ledger) group(referrer hypercrypto.Key) *group {
	dk := referrer.Discovery()
	g := l.groups[dk]
	if g == nil {
		g = &group{key: referrer, entries: make(map[*entry]struct{}), wakers: make(map[*waker]struct{})}
		l.groups[dk] = g
	}
	return g
}

// tidy forgets a group that nothing is left of.
func (l *ledger) tidy(g *group) {
	if len(g.entries) == 0 && len(g.wakers) == 0 {
		delete(l.groups, g.key.Discovery())
	}
}

// latest returns the newest logs of a group, newest first.
func (g *group) latest(most int) []Log {
	list := make([]*entry, 0, len(g.entries))
	for e := range g.entries {
		if e.Length > 0 {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return b.Updated.Compare(a.Updated) })
	var logs []Log
	for _, e := range list[:min(len(list), most)] {
		logs = append(logs, Log{Key: e.Key, Length: e.Length})
	}
	return logs
}

// leastWanted sorts entries by what to drop first: what nothing came of, then low
// priority, then the longest unused.
func leastWanted(a, b *entry) int {
	return cmp.Or(compareBool(a.Length > 0, b.Length > 0), cmp.Compare(a.Priority, b.Priority), a.Active.Compare(b.Active))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

const storedVersion = 2

// appendStored appends an entry as it is kept next to its log: uint version,
// record, 32 owner, and since version 2 uint bytes that are released.
func (e *entry) appendStored(b []byte) []byte {
	b = compact.AppendUint(b, storedVersion)
	b = e.Record.appendTo(b)
	return compact.AppendUint(append(b, e.owner[:]...), e.released)
}

func decodeStored(b []byte) (*entry, error) {
	r := compact.NewReader(b)
	v := r.Uint()
	if r.Err() == nil && v != 1 && v != storedVersion {
		return nil, fmt.Errorf("blindpeer: a record of version %d is not known", v)
	}
	e := &entry{Record: readRecord(&r), owner: r.Fixed32()}
	if v >= 2 {
		e.released = r.Uint()
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: stored record: %w", ErrMessage, err)
	}
	e.dk = e.Key.Discovery()
	return e, nil
}
