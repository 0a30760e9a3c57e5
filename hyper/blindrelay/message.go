package blindrelay

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// Protocol is the name of the channel.
const Protocol = "blind-relay"

// Message types of the channel.
const (
	typePair   = 0
	typeUnpair = 1
)

// Token is the secret that the two sides of a pair share.
type Token [32]byte

// pair asks for a stream, or tells its id.
type pair struct {
	initiator bool
	token     Token
	id        uint32
	seq       uint64
}

func (p *pair) appendTo(b []byte) []byte {
	b = compact.AppendBool(b, p.initiator)
	b = append(b, p.token[:]...)
	b = compact.AppendUint(b, uint64(p.id))
	return compact.AppendUint(b, p.seq)
}

func decodePair(b []byte) (p pair, err error) {
	r := compact.NewReader(b)
	p.initiator = r.Byte()&1 != 0
	p.token = r.Fixed32()
	id := r.Uint()
	p.seq = r.Uint()
	if err := r.Err(); err != nil {
		return p, fmt.Errorf("blindrelay: pair: %w", err)
	}
	if id > 1<<32-1 {
		return p, fmt.Errorf("blindrelay: pair: stream id %d", id)
	}
	p.id = uint32(id)
	return p, nil
}

func appendUnpair(b []byte, token Token) []byte { return append(append(b, 0), token[:]...) }

func decodeUnpair(b []byte) (token Token, err error) {
	r := compact.NewReader(b)
	r.Byte()
	token = r.Fixed32()
	if err := r.Err(); err != nil {
		return token, fmt.Errorf("blindrelay: unpair: %w", err)
	}
	return token, nil
}
