package blindpairing

// recent remembers the last keys that were added, up to a limit.
type recent[K comparable] struct {
	limit int
	keys  map[K]struct{}
	order []K // a ring once it is full
	next  int // the oldest in a full ring
}

func newRecent[K comparable](limit int) *recent[K] {
	return &recent[K]{limit: limit, keys: make(map[K]struct{})}
}

func (r *recent[K]) has(k K) bool { _, ok := r.keys[k]; return ok }

func (r *recent[K]) add(k K) {
	if r.has(k) {
		return
	}
	r.keys[k] = struct{}{}
	if len(r.order) < r.limit {
		r.order = append(r.order, k)
		return
	}
	delete(r.keys, r.order[r.next])
	r.order[r.next] = k
	r.next = (r.next + 1) % r.limit
}
