package dhtrpc

import (
	"context"
	"encoding/binary"
	"iter"
	"net/netip"
	"sync"
)

const (
	concurrency = 10
	// While a query that began with given nodes has few outcomes, it asks less:
	// the nearest nodes are likely among those.
	slowConcurrency = 3
)

// Query describes an iterative search for the nodes nearest to a target: each
// asked node answers a command and names nodes nearer to it. The fields below
// Closest are results.
type Query struct {
	Target   ID
	Internal bool
	Command  uint64
	Value    []byte
	// Nodes are asked first; with 20 of them the routing table is not used
	// unless most are gone.
	Nodes []netip.AddrPort
	// OnlyNodes asks nobody else.
	OnlyNodes bool
	// Retries per request. Default 5.
	Retries int
	// Once sends each request only once.
	Once bool

	// Closest are the answers without error of the persistent nodes nearest to
	// the target, at most 20, the nearest first.
	Closest   []*Response
	Successes int
	Errors    int

	background bool
}

// ClosestNodes returns the addresses of the nodes in Closest.
func (q *Query) ClosestNodes() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(q.Closest))
	for i, r := range q.Closest {
		addrs[i] = r.From
	}
	return addrs
}

type candidate struct {
	addr netip.AddrPort
	id   ID
}

// seen is what a search knows about an address.
type seen struct {
	done, down bool
	refs       []netip.AddrPort // who named it
}

// search is the state of a query, without any I/O.
type search struct {
	q         *Query
	own       ID
	refuse    func(netip.AddrPort) bool
	pending   []candidate // a stack
	seen      map[netip.AddrPort]*seen
	inflight  int
	slow      int // requests past their first timeout
	fromTable bool
	slowdown  bool
	only      bool
}

func newSearch(q *Query, own ID) *search {
	s := &search{q: q, own: own, seen: make(map[netip.AddrPort]*seen)}
	for i := len(q.Nodes) - 1; i >= 0; i-- {
		s.add(q.Nodes[i], NodeID(q.Nodes[i]), netip.AddrPort{})
	}
	s.only = q.OnlyNodes
	return s
}

func (s *search) isCloser(id *ID) bool {
	c := s.q.Closest
	return len(c) < K || closer(&s.q.Target, id, c[len(c)-1].ID)
}

// add takes a candidate that ref has named. The result is false if it is not
// near enough. down is a node that was found gone before.
func (s *search) add(addr netip.AddrPort, id ID, ref netip.AddrPort) (near, down bool) {
	if s.only || !addr.Addr().Is4() || addr.Port() == 0 {
		return false, false
	}
	near = s.isCloser(&id)
	if at := s.seen[addr]; at != nil {
		if !at.done && !at.down && ref.IsValid() {
			at.refs = append(at.refs, ref)
		}
		return near, at.down
	}
	if !near {
		return false, false
	}
	at := &seen{}
	if ref.IsValid() {
		at.refs = append(at.refs, ref)
	}
	s.seen[addr] = at
	s.pending = append(s.pending, candidate{addr, id})
	return true, false
}

// next returns the candidate to ask now.
func (s *search) next(limit int) (candidate, bool) {
	if s.slowdown {
		limit = slowConcurrency
	}
	for s.inflight < limit+s.slow && len(s.pending) > 0 {
		c := s.pending[len(s.pending)-1]
		s.pending = s.pending[:len(s.pending)-1]
		if s.isCloser(&c.id) {
			s.inflight++
			return c, true
		}
	}
	return candidate{}, false
}

// asked is called when next has nothing to offer for now. It tells whether the
// search has come to its end, or wants candidates from the table first.
func (s *search) asked() (end, wantTable bool) {
	if !s.fromTable && s.q.Successes == 0 && s.q.Errors == 0 {
		s.slowdown = true
	}
	if len(s.pending) > 0 {
		return false, false
	}
	if s.inflight == 0 || s.slow == s.inflight && len(s.q.Closest) >= K {
		if !s.fromTable && !s.only && s.q.Successes < K/4 {
			return false, true
		}
		return true, false
	}
	return false, false
}

// ended counts a request that is over. slow tells whether it was slow.
func (s *search) ended(slow bool) {
	s.inflight--
	if slow {
		s.slow--
	}
}

// answered takes a response and returns the nodes named in it that are gone.
func (s *search) answered(r *Response) (gone []netip.AddrPort) {
	s.mark(r.From).done = true
	if r.Code == CodeNone {
		s.q.Successes++
		if r.ID != nil && s.isCloser(r.ID) {
			s.insert(r)
		}
	} else {
		s.q.Errors++
	}
	for _, addr := range r.Closer {
		if addr.Port() == 0 || s.refuse != nil && s.refuse(addr) {
			continue
		}
		id := NodeID(addr)
		if id == s.own {
			continue
		}
		near, down := s.add(addr, id, r.From)
		if down {
			gone = append(gone, addr)
		}
		if !near {
			break
		}
	}
	if !s.fromTable && s.q.Successes+s.q.Errors >= concurrency {
		s.slowdown = false
	}
	return gone
}

func (s *search) mark(addr netip.AddrPort) *seen {
	at := s.seen[addr]
	if at == nil {
		at = &seen{}
		s.seen[addr] = at
	}
	return at
}

// failed takes a timeout and returns who named the node.
func (s *search) failed(addr netip.AddrPort) []netip.AddrPort {
	s.q.Errors++
	at := s.mark(addr)
	at.down = true
	return at.refs
}

func (s *search) insert(r *Response) {
	c := s.q.Closest
	i := len(c)
	for i > 0 && closer(&s.q.Target, r.ID, c[i-1].ID) {
		i--
	}
	if i > 0 && *c[i-1].ID == *r.ID {
		return
	}
	c = append(c, nil)
	copy(c[i+1:], c[i:])
	c[i] = r
	s.q.Closest = c[:min(len(c), K)]
}

// event is the outcome of a request of a query, or that it is slow.
type event struct {
	v    *visit
	r    *Response
	err  error
	slow bool
}

type visit struct {
	addr netip.AddrPort
	call *call
	slow bool
}

// mailbox collects events; posting never waits.
type mailbox struct {
	mu     sync.Mutex
	events []event
	signal chan struct{}
}

func (m *mailbox) post(e event) {
	m.mu.Lock()
	m.events = append(m.events, e)
	m.mu.Unlock()
	select {
	case m.signal <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.events
	m.events = nil
	return e
}

// Query runs q and yields each response without error code as it comes. After
// the loop the results are in q. The caller's goroutine does the work; leaving
// the loop ends the query. The last pair may be an error: ctx has ended, or the
// node was closed or suspended.
func (n *Node) Query(ctx context.Context, q *Query) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		n.mu.Lock()
		own := n.table.id
		if !q.background {
			n.refreshTicks = refreshTicks
		}
		n.mu.Unlock()
		s := newSearch(q, own)
		s.refuse = n.o.Refuse
		if len(s.pending) < K && !s.only {
			n.fill(ctx, s, true)
		}
		box := &mailbox{signal: make(chan struct{}, 1)}
		visits := make(map[*visit]bool)
		defer func() {
			for v := range visits {
				n.drop(v.call)
			}
		}()
		for {
			for {
				c, ok := s.next(n.limitFor(q))
				if !ok {
					break
				}
				v := &visit{addr: c.addr}
				if err := n.visit(q, v, box); err != nil {
					s.ended(false)
					yield(nil, err)
					return
				}
				visits[v] = true
			}
			end, wantTable := s.asked()
			if wantTable {
				n.fill(ctx, s, false)
				s.fromTable = true
				continue
			}
			if end {
				return
			}
			select {
			case <-box.signal:
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
			for _, e := range box.take() {
				if !n.step(s, visits, e, yield) {
					return
				}
			}
		}
	}
}

// step handles one event and tells whether to go on.
func (n *Node) step(s *search, visits map[*visit]bool, e event, yield func(*Response, error) bool) bool {
	v := e.v
	if e.slow {
		if visits[v] && !v.slow {
			v.slow = true
			s.slow++
		}
		return true
	}
	delete(visits, v)
	s.ended(v.slow)
	switch e.err {
	case nil:
		for _, gone := range s.answered(e.r) {
			n.downHint(e.r.From, gone)
		}
		return e.r.Code != CodeNone || yield(e.r, nil)
	case ErrTimeout:
		for _, ref := range s.failed(v.addr) {
			n.downHint(ref, v.addr)
		}
		return true
	default:
		yield(nil, e.err)
		return false
	}
}

func (n *Node) visit(q *Query, v *visit, box *mailbox) error {
	call := Call{To: v.addr, Internal: q.Internal, Command: q.Command, Target: &q.Target, Value: q.Value, Once: q.Once, Retries: q.Retries}
	if call.Retries == 0 {
		call.Retries = queryRetries
	}
	c, err := n.start(&call, func() { box.post(event{v: v, slow: true}) },
		func(r *Response, err error) { box.post(event{v: v, r: r, err: err}) })
	v.call = c
	return err
}

// limitFor returns how many requests q may have under way.
func (n *Node) limitFor(q *Query) int {
	if !q.background {
		return concurrency
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.calls) < 3 {
		return concurrency
	}
	return 2
}

// fill adds candidates from the table and, if those are few, the bootstrap nodes.
func (n *Node) fill(ctx context.Context, s *search, first bool) {
	if first {
		s.fromTable = len(s.pending) < K
	}
	n.mu.Lock()
	addrs := n.table.closest(nil, &s.q.Target, K-min(K, len(s.pending)))
	n.mu.Unlock()
	for _, a := range addrs {
		s.add(a, NodeID(a), netip.AddrPort{})
	}
	if len(s.pending) >= K {
		return
	}
	for _, a := range n.bootstrapNodes(ctx) {
		s.add(a, NodeID(a), netip.AddrPort{})
	}
}

// downHint tells a node that another node, which it named, is gone.
func (n *Node) downHint(to, gone netip.AddrPort) {
	n.mu.Lock()
	ok := n.hints < maxHintsATick
	if ok {
		n.hints++
	}
	n.mu.Unlock()
	if !ok {
		return
	}
	a := gone.Addr().As4()
	value := binary.LittleEndian.AppendUint16(a[:], gone.Port())
	_, _ = n.start(&Call{To: to, Internal: true, Command: cmdDownHint, Value: value}, nil, func(*Response, error) {})
}
