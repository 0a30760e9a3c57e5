package dhtrelay

import (
	"errors"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// protocol is the name of the one channel; it has no id and no handshake.
const protocol = "@hyperswarm/dht-relay"

// Numbers of the messages of the channel.
const (
	typeHandshake = iota
	typePing
	typePong
	typeConnect
	typeConnection
	typeConnected
	typeIncoming
	typeDeny
	typeAccept
	typeDestroy
	typeListen
	typeListening
	typeClose
	typeClosed
	typeOpen
	typeEnd
	typeData
	typeResult
	typeFinished
	typeLookup
	typeAnnounce
	typeUnannounce
	typeSignAnnounce
	typeSignUnannounce
	typeSignature
	typeNoiseSend
	typeNoiseReceive
	typeNoiseReply
	typeCount
)

// An alias is a number that one side gave to one of its objects: a stream, a
// server, a query, a question. Of two in a message the sender's comes first.
type alias = uint32

// errMessage means that a message of the client is not well formed.
var errMessage = errors.New("dhtrelay: malformed message")

const flagCustodial = 1

// secretSize is the size of a secret key: seed, then public key.
const secretSize = 64

// identity is the key that a client acts for. A custodial client gives its
// secret half to the relay; of others secret is nil.
type identity struct {
	public hypercrypto.PublicKey
	secret []byte
}

func (i *identity) flags() byte {
	if i.secret != nil {
		return flagCustodial
	}
	return 0
}

func (i *identity) appendTo(b []byte) []byte { return append(append(b, i.public[:]...), i.secret...) }

func (i *identity) decode(r *compact.Reader, flags byte) {
	i.public = r.Fixed32()
	if flags&flagCustodial != 0 {
		i.secret = r.Fixed(secretSize)
	}
}

// handshake is the first message of a client.
//
//	flags (1 custodial) | public 32 | [secret 64]
type handshake struct{ identity }

func (m *handshake) appendTo(b []byte) []byte { return m.identity.appendTo(append(b, m.flags())) }

func (m *handshake) decode(r *compact.Reader) { m.identity.decode(r, r.Byte()) }

// number is the body of the messages that name an object of the sender and say
// no more: close, closed, end; and finished, deny, accept, whose number is the
// one of the question they answer.
//
//	alias u32
type number struct{ alias alias }

func (m *number) appendTo(b []byte) []byte { return compact.AppendUint32(b, m.alias) }

func (m *number) decode(r *compact.Reader) { m.alias = r.Uint32() }

// empty is the body of ping and pong.
type empty struct{}

func (empty) appendTo(b []byte) []byte { return b }

func (empty) decode(*compact.Reader) {}

// message is a body that can be sent; decoder one that can be received.
type message interface{ appendTo(b []byte) []byte }

type decoder interface{ decode(r *compact.Reader) }

// unmarshal decodes a body into m. Bytes behind it are ignored, as the other
// implementation does. Slices in m point into body.
func unmarshal(body []byte, m decoder) error {
	r := compact.NewReader(body)
	m.decode(&r)
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %w", errMessage, err)
	}
	return nil
}
