package dhtrpc

import (
	"math/rand/v2"
	"net/netip"
	"slices"
)

// K is the number of nodes per row of the routing table, and of nodes that hold
// a record.
const K = 20

// peer is a node of the routing table. Times are ticks of the node.
type peer struct {
	id        ID
	addr      netip.AddrPort
	to        netip.AddrPort // where it sees us, zero if unknown
	sampled   int64          // when that was last counted; 0: never
	added     int64
	pinged    int64 // last time we wrote or heard
	seen      int64 // last time we heard
	downHints int

	older, newer *peer
}

// table is the routing table: rows of at most K nodes by the number of leading
// bits they share with id, and one list of all by the time they were heard.
type table struct {
	id     ID
	rows   [256][]*peer
	byID   map[ID]*peer
	oldest *peer
	newest *peer
}

func newTable(id ID) *table { return &table{id: id, byID: make(map[ID]*peer)} }

func (t *table) len() int { return len(t.byID) }

func (t *table) get(id *ID) *peer { return t.byID[*id] }

// row returns the row of an id, nil for the table's own.
func (t *table) row(id *ID) *[]*peer {
	if n := prefixLen(&t.id, id); n < len(t.rows) {
		return &t.rows[n]
	}
	return nil
}

// add inserts p as the node heard last. It fails if p is known, is the table's
// own node, or its row is full.
func (t *table) add(p *peer) bool {
	row := t.row(&p.id)
	if row == nil || len(*row) >= K || t.byID[p.id] != nil {
		return false
	}
	*row = append(*row, p)
	t.byID[p.id] = p
	t.link(p)
	return true
}

func (t *table) remove(p *peer) bool {
	if t.byID[p.id] != p {
		return false
	}
	delete(t.byID, p.id)
	row := t.row(&p.id)
	i := slices.Index(*row, p)
	*row = slices.Delete(*row, i, i+1)
	t.unlink(p)
	return true
}

// heard makes p the node heard last.
func (t *table) heard(p *peer) {
	if t.newest != p {
		t.unlink(p)
		t.link(p)
	}
}

func (t *table) link(p *peer) {
	p.older, p.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = p
	} else {
		t.oldest = p
	}
	t.newest = p
}

func (t *table) unlink(p *peer) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		t.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		t.newest = p.older
	}
	p.older, p.newer = nil, nil
}

// closest appends the addresses of up to k nodes, the nearest to target first.
//
// With n leading bits common to target and the own id, the nodes of row n are
// nearer to the target than all others; then come the rows above n together, as
// they differ from the target first in bit n; then the rows below, one by one.
func (t *table) closest(b []netip.AddrPort, target *ID, k int) []netip.AddrPort {
	var room [2 * K]*peer
	n := prefixLen(&t.id, target)
	take := func(peers []*peer) {
		slices.SortFunc(peers, func(x, y *peer) int {
			if closer(target, &x.id, &y.id) {
				return -1
			}
			return 1
		})
		for _, p := range peers[:min(k, len(peers))] {
			b = append(b, p.addr)
			k--
		}
	}
	if n < len(t.rows) {
		take(append(room[:0], t.rows[n]...))
	}
	if k > 0 {
		above := room[:0]
		for i := n + 1; i < len(t.rows); i++ {
			above = append(above, t.rows[i]...)
		}
		take(above)
	}
	for i := n - 1; i >= 0 && k > 0; i-- {
		take(append(room[:0], t.rows[i]...))
	}
	return b
}

// random returns any node, nil if there is none.
func (t *table) random() *peer {
	n := rand.IntN(max(t.len(), 1))
	for p := t.newest; p != nil; p = p.older {
		if n == 0 {
			return p
		}
		n--
	}
	return nil
}
