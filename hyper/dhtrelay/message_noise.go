package dhtrelay

import (
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const (
	flagInitiator = 1
	flagComplete  = 2
)

// noiseSend asks the client to wrap a payload into the next handshake message.
// The first question of an initiator's handshake names the client's stream.
//
//	flags (1 initiator) | id u32 | [initiator: remote stream alias u32] | payload buffer
type noiseSend struct {
	initiator  bool
	id, stream alias
	payload    []byte
}

func (m *noiseSend) appendTo(b []byte) []byte {
	b = compact.AppendUint32(append(b, initiatorFlag(m.initiator)), m.id)
	if m.initiator {
		b = compact.AppendUint32(b, m.stream)
	}
	return compact.AppendBuffer(b, m.payload)
}

func (m *noiseSend) decode(r *compact.Reader) {
	m.initiator = r.Byte()&flagInitiator != 0
	m.id = r.Uint32()
	if m.initiator {
		m.stream = r.Uint32()
	}
	m.payload = r.Buffer()
}

// noiseReceive asks the client to unwrap a handshake message. The first question
// of a responder's handshake names the relay's server.
//
//	flags (1 initiator) | id u32 | [responder: server alias u32] | message buffer
type noiseReceive struct {
	initiator  bool
	id, server alias
	message    []byte
}

func (m *noiseReceive) appendTo(b []byte) []byte {
	b = compact.AppendUint32(append(b, initiatorFlag(m.initiator)), m.id)
	if !m.initiator {
		b = compact.AppendUint32(b, m.server)
	}
	return compact.AppendBuffer(b, m.message)
}

func (m *noiseReceive) decode(r *compact.Reader) {
	m.initiator = r.Byte()&flagInitiator != 0
	m.id = r.Uint32()
	if !m.initiator {
		m.server = r.Uint32()
	}
	m.message = r.Buffer()
}

// noiseReply answers both: with a message to send, or with the payload of the
// message received. An empty one refuses. remote is who the other side has
// proven to be, told by a responder before its handshake is complete; the rest
// is told when it is.
//
//	flags (1 initiator, 2 complete) | id u32 | buffer | [neither: remote public 32]
//	| [complete: remote stream id 32, hole punch secret 32]
type noiseReply struct {
	initiator, complete bool
	id                  alias
	payload             []byte
	remote              hypercrypto.PublicKey
	streamID            [32]byte
	holepunchSecret     [32]byte
}

func (m *noiseReply) appendTo(b []byte) []byte {
	flags := initiatorFlag(m.initiator)
	if m.complete {
		flags |= flagComplete
	}
	b = compact.AppendBuffer(compact.AppendUint32(append(b, flags), m.id), m.payload)
	if m.complete {
		return append(append(b, m.streamID[:]...), m.holepunchSecret[:]...)
	}
	if !m.initiator {
		b = append(b, m.remote[:]...)
	}
	return b
}

func (m *noiseReply) decode(r *compact.Reader) {
	flags := r.Byte()
	m.initiator, m.complete = flags&flagInitiator != 0, flags&flagComplete != 0
	m.id = r.Uint32()
	m.payload = r.Buffer()
	if m.complete {
		m.streamID, m.holepunchSecret = r.Fixed32(), r.Fixed32()
	} else if !m.initiator {
		m.remote = r.Fixed32()
	}
}

func initiatorFlag(initiator bool) byte {
	if initiator {
		return flagInitiator
	}
	return 0
}
