package hypercore

import "sync"

// EventType says what happened to a log.
type EventType uint8

// The types of events, with the fields of [Event] they set besides Length and
// Fork, which are always the state after the event.
const (
	EventAppend                 EventType = iota // the log grew, here or by an upgrade from a peer
	EventTruncate                                // the log was cut to Index blocks, here or by a peer's fork
	EventDownload                                // block Index of Bytes bytes arrived from Peer
	EventUpload                                  // block Index of Bytes bytes was sent to Peer
	EventClear                                   // Bytes blocks from Index on were dropped from the local store
	EventPeerAdd                                 // Peer opened the log
	EventPeerRemove                              // Peer went away
	EventManifest                                // the manifest became known
	EventRemoteContiguousLength                  // a peer holds the first Index blocks, more than known before
	EventVerificationError                       // Peer sent a proof that failed with Err
	EventInvalidRequest                          // Peer asked for what no proof can be: Err
	EventConflict                                // two signed histories: the log is frozen
)

// Event is something that happened to a log.
type Event struct {
	Type   EventType
	Length uint64
	Fork   uint64
	Index  uint64
	Bytes  int
	Peer   *Peer
	Err    error
}

// listeners calls functions with events. Adding and removing is rare.
type listeners struct {
	mu   sync.RWMutex
	next int
	list map[int]func(Event)
}

func (l *listeners) add(fn func(Event)) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list == nil {
		l.list = make(map[int]func(Event))
	}
	id := l.next
	l.next++
	l.list[id] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.list, id)
	}
}

func (l *listeners) any() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.list) > 0
}

func (l *listeners) emit(e Event) {
	l.mu.RLock()
	var buf [8]func(Event)
	fns := buf[:0]
	for _, fn := range l.list {
		fns = append(fns, fn)
	}
	l.mu.RUnlock()
	for _, fn := range fns {
		fn(e)
	}
}

// Events calls fn for everything that happens to the log from now on, until
// cancel is called. fn runs on the goroutine that made the change, one call at
// a time per goroutine: it must return quickly and must not change the log.
func (c *Core) Events(fn func(Event)) (cancel func()) {
	if c.draft != nil {
		return c.draft.events.add(fn)
	}
	return c.log.events.add(fn)
}
