package blindpeer

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// ErrMessage is the error of a message that cannot be read.
var ErrMessage = errors.New("blindpeer: invalid message")

const (
	// protocol carries orders, message 0, from client to server.
	protocol   = "blind-peer"
	msgOrder   = 0
	maxPerSend = 256 // logs in a message that we send
	// maxPerOrder bounds the logs of one message that are looked at.
	maxPerOrder = 4096
)

// Priorities of logs. A log never pushes out one of a higher priority.
const (
	PriorityLow    = 0 // what JavaScript gives single logs by default
	PriorityNormal = 1 // what it gives those of an autobase; the highest for strangers
	PriorityHigh   = 2 // for trusted keys
)

// Log names a log and says how long its sender knows it to be.
type Log struct {
	Key    hypercrypto.Key
	Length uint64
}

// order asks a mirror to keep logs.
//
//	uint flags (1 referrer, 2 priority, 4 announce), [32 referrer], [uint priority],
//	uint count, { 32 key, uint length } …
type order struct {
	Referrer *hypercrypto.Key
	Priority uint64
	Announce bool
	Logs     []Log
}

func decodeOrder(b []byte) (o order, err error) {
	r := compact.NewReader(b)
	flags := r.Uint()
	if flags&1 != 0 {
		k := hypercrypto.Key(r.Fixed32())
		o.Referrer = &k
	}
	if flags&2 != 0 {
		o.Priority = r.Uint()
	}
	o.Announce = flags&4 != 0
	o.Logs = readLogs(&r, maxPerOrder)
	if err := r.Err(); err != nil {
		return order{}, fmt.Errorf("%w: order: %w", ErrMessage, err)
	}
	return o, nil
}

func (o *order) appendTo(b []byte) []byte {
	var flags uint64
	if o.Referrer != nil {
		flags |= 1
	}
	if o.Priority != 0 {
		flags |= 2
	}
	if o.Announce {
		flags |= 4
	}
	b = compact.AppendUint(b, flags)
	if o.Referrer != nil {
		b = append(b, o.Referrer[:]...)
	}
	if o.Priority != 0 {
		b = compact.AppendUint(b, o.Priority)
	}
	return appendLogs(b, o.Logs)
}

// readLogs reads the first logs of a list; the rest is left.
func readLogs(r *compact.Reader, most int) (logs []Log) {
	for range min(r.Count(33), most) {
		l := Log{Key: r.Fixed32(), Length: r.Uint()}
		if r.Err() != nil {
			return nil
		}
		logs = append(logs, l)
	}
	return logs
}

func appendLogs(b []byte, logs []Log) []byte {
	b = compact.AppendUint(b, uint64(len(logs)))
	for _, l := range logs {
		b = append(b, l.Key[:]...)
		b = compact.AppendUint(b, l.Length)
	}
	return b
}
