package protomux

import "slices"

const (
	// maxBuffered bounds the messages that are kept for channels which this side
	// has not opened yet; each counts messageCost more than its size. Beyond it
	// reading pauses.
	maxBuffered = 32 << 10
	messageCost = 512
	// maxOpening bounds the opens that wait for this side in the same way.
	maxOpening = 4 << 20
	// maxNames bounds protocol, id and handshake of one open, in bytes.
	maxNames = 64 << 10
	// maxRemote bounds the channels that the other side has open at a time.
	maxRemote = 1 << 20
)

// name is what channels are paired by. An empty id stands for none.
type name struct{ protocol, id string }

// waiting holds the half-open channels of a name, oldest first.
type waiting struct {
	local   []*Channel // opened by this side
	remote  []uint64   // opened by the other side, by its numbers
	pairing int        // pair functions under way
}

// opening is what is known of a channel that the other side has opened and this
// side has not.
type opening struct {
	name      name
	handshake []byte
	messages  []message
	buffered  int // cost of messages
	cost      int // cost of the open itself
	closed    bool
}

type message struct {
	typ  uint64
	body []byte
}

// remoteChannel is a number of the other side: free, opening, or paired.
type remoteChannel struct {
	channel *Channel
	opening *opening
}

// table holds who is who. The mux's mu guards it.
type table struct {
	local    []*Channel // by number-1; nil if free
	free     []uint64   // free numbers below len(local)+1, last freed last
	remote   []remoteChannel
	names    map[name]*waiting
	buffered int
	opening  int
}

// allocate gives c a number.
func (t *table) allocate(c *Channel) {
	if n := len(t.free); n > 0 {
		c.local = t.free[n-1]
		t.free = t.free[:n-1]
		t.local[c.local-1] = c
		return
	}
	t.local = append(t.local, c)
	c.local = uint64(len(t.local))
}

// release frees the numbers of a channel that both sides had open, or the local
// number of one that was rejected.
func (t *table) release(c *Channel) {
	if c.remote != 0 {
		t.remote[c.remote-1] = remoteChannel{}
		c.remote = 0
	}
	t.local[c.local-1] = nil
	t.free = append(t.free, c.local)
	c.local = 0
	c.state = stateClosed
	c.live.Store(false)
}

func (t *table) at(n name) *waiting {
	w := t.names[n]
	if w == nil {
		w = new(waiting)
		t.names[n] = w
	}
	return w
}

func (t *table) tidy(n name) {
	if w := t.names[n]; w != nil && len(w.local) == 0 && len(w.remote) == 0 && w.pairing == 0 {
		delete(t.names, n)
	}
}

// await queues c under all its names.
func (t *table) await(c *Channel) {
	for n := range c.names() {
		w := t.at(n)
		w.local = append(w.local, c)
	}
}

// unawait reverses await.
func (t *table) unawait(c *Channel) {
	for n := range c.names() {
		if w := t.names[n]; w != nil {
			if i := slices.Index(w.local, c); i >= 0 {
				w.local = slices.Delete(w.local, i, i+1)
			}
			t.tidy(n)
		}
	}
}

// takeRemote removes the oldest remote open under any name of c that is not
// closed, and all closed ones before it. It returns the number of the first,
// 0 if there is none, and the numbers of the others, which are free now and
// must be rejected.
func (t *table) takeRemote(c *Channel) (found uint64, dead []uint64) {
	for n := range c.names() {
		w := t.names[n]
		if w == nil {
			continue
		}
		for len(w.remote) > 0 && found == 0 {
			number := w.remote[0]
			w.remote = w.remote[1:]
			if t.remote[number-1].opening.closed {
				t.drop(number)
				dead = append(dead, number)
			} else {
				found = number
			}
		}
		t.tidy(n)
		if found != 0 {
			break
		}
	}
	return found, dead
}

// drop frees a remote number that was opening.
func (t *table) drop(number uint64) {
	t.forget(t.remote[number-1].opening)
	t.remote[number-1] = remoteChannel{}
}

// forget takes o out of the accounts.
func (t *table) forget(o *opening) {
	t.buffered -= o.buffered
	t.opening -= o.cost
	o.buffered, o.cost = 0, 0
}
