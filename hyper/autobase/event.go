package autobase

import "github.com/tradle/cloudpal/hyper/hypercrypto"

// EventType says what happened to a base.
type EventType uint8

// The types of events, with the fields of [Event] they set.
const (
	EventUpdate     EventType = iota // the views changed, or more is confirmed or signed
	EventWritable                    // this device became a member
	EventUnwritable                  // this device is no member any more
	EventEpoch                       // the indexers changed
	EventFrozen                      // the log Key breaks the rules, with Err: no more of it is read
	EventRefused                     // Apply refused the node Length of log Key with Err
	EventForward                     // the base jumped to a signed state that peers have
	EventLocal                       // Key is the own log now
	EventWarning                     // something went wrong that is tried again: Err
	EventLocked                      // the node Length of log Key waits for the key of Epoch; see [Base.KeysChanged]
	EventMissing                     // block Length-1 of log Key, of the state, is missing and asked for
	EventFailed                      // the base stopped: Err
)

// Event is something that happened to a base.
type Event struct {
	Type   EventType
	Key    hypercrypto.Key
	Length uint64
	Epoch  uint32
	Err    error
}
