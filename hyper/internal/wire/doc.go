// Package wire holds the messages of the hypercore channel: one type per
// message, with AppendTo and a Decode function each. It does no I/O and keeps
// no state; what the messages mean is up to package hypercore.
//
// Decoders accept every form that the JavaScript side may send: unknown flags
// and bytes after the last field are ignored, and flags that old peers leave
// out read as zero. They never allocate more than the input can justify.
// Byte slices in decoded messages point into the input and live as long as it
// does. Encoders write the shortest form. Integers must not be above
// [compact.MaxUint].
//
// The layouts and what the messages mean are described in
// docs/protocol/replication.md.
package wire

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// Names of the protomux protocol that carries the messages. Channels are opened
// as Protocol; an open that names Alias is the same protocol.
const (
	Protocol = "hypercore/alpha"
	Alias    = "hypercore"
)

// Message types on the channel.
const (
	TypeSync = iota
	TypeRequest
	TypeCancel
	TypeData
	TypeNoData
	TypeWant
	TypeUnwant
	TypeBitfield
	TypeRange
	TypeExtension

	// Types is the number of message types.
	Types
)

// bit is flag if v is true, else 0.
func bit(v bool, flag uint64) uint64 {
	if v {
		return flag
	}
	return 0
}

// result is the error of decoding the message called name.
func result(name string, r *compact.Reader) error {
	if err := r.Err(); err != nil {
		return fmt.Errorf("decode %s message: %w", name, err)
	}
	return nil
}
