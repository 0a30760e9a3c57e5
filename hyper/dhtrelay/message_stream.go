package dhtrelay

import (
	"iter"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// connect asks for a stream to a server.
//
//	flags (1 custodial) | alias u32 | public 32 | [secret 64] | remote public 32
type connect struct {
	alias  alias
	key    identity
	remote hypercrypto.PublicKey
}

func (m *connect) appendTo(b []byte) []byte {
	b = compact.AppendUint32(append(b, m.key.flags()), m.alias)
	return append(m.key.appendTo(b), m.remote[:]...)
}

func (m *connect) decode(r *compact.Reader) {
	flags := r.Byte()
	m.alias = r.Uint32()
	m.key.decode(r, flags)
	m.remote = r.Fixed32()
}

// origin tells which handshake a stream came out of: of a custodial stream its
// hash, of another the number under which the client ran it.
//
//	custodial ? handshake hash 64 : handshake id u32
type origin struct {
	hash *[64]byte
	id   alias
}

func (o *origin) flags() byte {
	if o.hash != nil {
		return flagCustodial
	}
	return 0
}

func (o *origin) appendTo(b []byte) []byte {
	if o.hash != nil {
		return append(b, o.hash[:]...)
	}
	return compact.AppendUint32(b, o.id)
}

func (o *origin) decode(r *compact.Reader, flags byte) {
	if flags&flagCustodial == 0 {
		o.id = r.Uint32()
		return
	}
	if b := r.Fixed(64); b != nil {
		o.hash = (*[64]byte)(b)
	}
}

// open tells that the stream of a connect is there.
//
//	flags (1 custodial) | alias u32 | remote alias u32 | origin
type open struct {
	alias, remote alias
	from          origin
}

func (m *open) appendTo(b []byte) []byte {
	b = compact.AppendUint32(append(b, m.from.flags()), m.alias)
	return m.from.appendTo(compact.AppendUint32(b, m.remote))
}

func (m *open) decode(r *compact.Reader) {
	flags := r.Byte()
	m.alias, m.remote = r.Uint32(), r.Uint32()
	m.from.decode(r, flags)
}

// connection tells that somebody has connected to a server of the client, which
// answers connected.
//
//	flags (1 custodial) | alias u32 | server alias u32 | remote public 32 | origin
type connection struct {
	alias, server alias
	remote        hypercrypto.PublicKey
	from          origin
}

func (m *connection) appendTo(b []byte) []byte {
	b = compact.AppendUint32(append(b, m.from.flags()), m.alias)
	b = compact.AppendUint32(b, m.server)
	return m.from.appendTo(append(b, m.remote[:]...))
}

func (m *connection) decode(r *compact.Reader) {
	flags := r.Byte()
	m.alias, m.server = r.Uint32(), r.Uint32()
	m.remote = r.Fixed32()
	m.from.decode(r, flags)
}

// connected names the client's end of the stream of a connection.
//
//	alias u32 | remote alias u32
type connected struct{ alias, remote alias }

func (m *connected) appendTo(b []byte) []byte {
	return compact.AppendUint32(compact.AppendUint32(b, m.alias), m.remote)
}

func (m *connected) decode(r *compact.Reader) { m.alias, m.remote = r.Uint32(), r.Uint32() }

const (
	flagPaired = 1
	flagError  = 2
)

// destroy ends a stream at once. Before the stream is open the receiver knows
// only its own number, and that is what an unpaired destroy carries.
//
//	flags (1 paired, 2 error) | paired ? alias u32 : remote alias u32 | [error string]
type destroy struct {
	paired bool
	alias  alias
	err    string
}

func (m *destroy) appendTo(b []byte) []byte {
	var flags byte
	if m.paired {
		flags |= flagPaired
	}
	if m.err != "" {
		flags |= flagError
	}
	b = compact.AppendUint32(append(b, flags), m.alias)
	if m.err != "" {
		b = compact.AppendString(b, m.err)
	}
	return b
}

func (m *destroy) decode(r *compact.Reader) {
	flags := r.Byte()
	m.paired = flags&flagPaired != 0
	m.alias = r.Uint32()
	if flags&flagError != 0 {
		m.err = r.String()
	}
}

// data carries pieces of a stream. The pieces of a custodial stream are its
// messages; otherwise where one ends means nothing. They stay encoded: what is
// queued is one slice, however many pieces it holds.
//
//	alias u32 | array(buffer)
type data struct {
	alias  alias
	pieces pieces
}

func (m *data) appendTo(b []byte) []byte {
	return append(compact.AppendUint32(b, m.alias), m.pieces...)
}

func (m *data) decode(r *compact.Reader) {
	m.alias = r.Uint32()
	rest := *r
	start := r.Offset()
	for range r.Count(1) {
		r.Buffer()
	}
	if r.Err() == nil {
		m.pieces = rest.Fixed(r.Offset() - start)
	}
}

// pieces is a checked array(buffer).
type pieces []byte

// all yields the pieces that are not empty: an empty one keeps a stream alive
// and says nothing.
func (p pieces) all() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		r := compact.NewReader(p)
		for range r.Count(1) {
			if b := r.Buffer(); len(b) > 0 && !yield(b) {
				return
			}
		}
	}
}

// dataOverhead is the most that data adds to one piece.
const dataOverhead = 4 + 1 + 9

// appendData is a data message of one piece.
func appendData(b []byte, a alias, piece []byte) []byte {
	return compact.AppendBuffer(compact.AppendUint(compact.AppendUint32(b, a), 1), piece)
}
