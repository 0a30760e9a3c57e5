package dhtrpc

import (
	"fmt"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
)

// MaxPacket is the largest datagram in bytes that is sent or read: it passes
// every path with the usual MTU of 1500.
const MaxPacket = 1400

const (
	typeRequest  = 0x03
	typeResponse = 0x13

	flagID    = 1
	flagToken = 2

	flagInternal     = 4 // requests
	flagTarget       = 8
	flagRequestValue = 16

	flagCloser        = 4 // responses
	flagError         = 8
	flagResponseValue = 16
)

// Internal commands.
const (
	cmdPing        = 0
	cmdPingNAT     = 1
	cmdFindNode    = 2
	cmdDownHint    = 3
	cmdDelayedPing = 4
)

// Codes in the error field of a response.
const (
	CodeNone           = 0
	CodeUnknownCommand = 1
	CodeInvalidToken   = 2
)

// message is a request or a response. Absent fields are nil; a value may be
// present and empty.
type message struct {
	response bool
	tid      uint16
	to       netip.AddrPort
	id       *ID
	token    *[32]byte
	internal bool   // requests
	command  uint64 // requests
	target   *ID    // requests
	closer   []netip.AddrPort
	code     uint64
	value    []byte

	// Room for what the pointers point to after decoding.
	idBytes, targetBytes ID
	tokenBytes           [32]byte
}

func (m *message) appendTo(b []byte) []byte {
	typ, flags := byte(typeRequest), byte(0)
	set := func(present bool, flag byte) {
		if present {
			flags |= flag
		}
	}
	set(m.id != nil, flagID)
	set(m.token != nil, flagToken)
	if m.response {
		typ = typeResponse
		set(len(m.closer) > 0, flagCloser)
		set(m.code != CodeNone, flagError)
		set(m.value != nil, flagResponseValue)
	} else {
		set(m.internal, flagInternal)
		set(m.target != nil, flagTarget)
		set(m.value != nil, flagRequestValue)
	}
	b = append(b, typ, flags)
	b = compact.AppendUint16(b, m.tid)
	b = compact.AppendIPv4Address(b, m.to)
	if m.id != nil {
		b = append(b, m.id[:]...)
	}
	if m.token != nil {
		b = append(b, m.token[:]...)
	}
	if m.response {
		if len(m.closer) > 0 {
			b = compact.AppendUint(b, uint64(len(m.closer)))
			for _, a := range m.closer {
				b = compact.AppendIPv4Address(b, a)
			}
		}
		if m.code != CodeNone {
			b = compact.AppendUint(b, m.code)
		}
	} else {
		b = compact.AppendUint(b, m.command)
		if m.target != nil {
			b = append(b, m.target[:]...)
		}
	}
	if m.value != nil {
		b = compact.AppendBuffer(b, m.value)
	}
	return b
}

// decode reads a packet. The value points into b.
func (m *message) decode(b []byte) error {
	r := compact.NewReader(b)
	typ, flags := r.Byte(), r.Byte()
	*m = message{response: typ == typeResponse}
	if r.Err() == nil && typ != typeRequest && typ != typeResponse {
		return fmt.Errorf("dhtrpc: unknown packet type %#x", typ)
	}
	m.tid = r.Uint16()
	m.to = r.IPv4Address()
	if flags&flagID != 0 {
		m.idBytes = r.Fixed32()
		m.id = &m.idBytes
	}
	if flags&flagToken != 0 {
		m.tokenBytes = r.Fixed32()
		m.token = &m.tokenBytes
	}
	valued := flags&flagRequestValue != 0
	if m.response {
		if flags&flagCloser != 0 {
			n := r.Count(6)
			m.closer = make([]netip.AddrPort, 0, n)
			for range n {
				m.closer = append(m.closer, r.IPv4Address())
			}
		}
		if flags&flagError != 0 {
			m.code = r.Uint()
		}
		valued = flags&flagResponseValue != 0
	} else {
		m.internal = flags&flagInternal != 0
		m.command = r.Uint()
		if flags&flagTarget != 0 {
			m.targetBytes = r.Fixed32()
			m.target = &m.targetBytes
		}
	}
	if valued {
		m.value = r.Buffer()
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("dhtrpc: decode packet: %w", err)
	}
	return nil
}
