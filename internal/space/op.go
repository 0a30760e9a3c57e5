package space

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hyperbee"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// Level is what this program understands: all operations of this level and of those
// below. A space has a level too, which only its owners raise; see docs/formats/space.md.
const Level = 1

// Limits of operations.
const (
	// MaxBody is the largest body of an operation in bytes.
	MaxBody = 1 << 20
	// maxType is the longest name of a collection's type in bytes.
	maxType = 32
)

// coreType is the type of the operations of a space itself.
const coreType = "space"

// Collection is one kind of content of a space, such as files. It has operations of
// its own and its own part of the state.
type Collection interface {
	// Type names the collection in operations: 1 to 32 lower-case letters and digits.
	Type() string
	// Level is the least level of a space in which its operations count.
	Level() uint64
	// Apply writes the effect of an operation to s. It is a function of s and op:
	// no clock, no randomness, no order of a map, no I/O but s. An error makes the
	// whole append of the operation one without effect, on all devices. Errors of s
	// have to be returned as they are.
	Apply(ctx context.Context, s State, op *Op) error
}

// Reader reads the part of the state that a collection has.
type Reader interface {
	Get(ctx context.Context, key []byte) (value []byte, ok bool, err error)
	Entries(ctx context.Context, r hyperbee.Range) iter.Seq2[hyperbee.Entry, error]
}

// State is the part of the state that a collection has, to be changed.
type State interface {
	Reader
	// Put sets a key. Setting what is there already changes nothing.
	Put(ctx context.Context, key, value []byte) error
	Del(ctx context.Context, key []byte) error
}

// Op is an operation that a collection is to apply. Its author may write.
type Op struct {
	// Log and Length are the node with the operation: they name it.
	Log    hypercrypto.Key
	Length uint64
	// Device, DeviceName, Person and Role are the author, as of now.
	Device     hypercrypto.PublicKey
	DeviceName string
	Person     hypercrypto.PublicKey
	Role       Role
	// Time is when the author made the operation, by the author's clock.
	Time clock.Time
	// Heads are the nodes that the author had seen.
	Heads []autobase.Ref
	// Level is that of the space: what is above it must be taken for unknown.
	Level uint64
	Body  []byte
}

// errOp is the error of bytes that are no operation.
var errOp = errors.New("space: not an operation")

// envelope is an operation as it is written:
//
//	uint level, uint64 time, string type, buffer body
//
// Only the first field is sure to be there in levels above [Level].
type envelope struct {
	level uint64
	time  clock.Time
	typ   string
	body  []byte
}

func (e *envelope) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, e.level)
	b = compact.AppendUint64(b, uint64(e.time))
	b = compact.AppendString(b, e.typ)
	return compact.AppendBuffer(b, e.body)
}

// decodeEnvelope reads an operation. If its level is above the given one, the level
// is all that is read.
func decodeEnvelope(b []byte, level uint64) (*envelope, error) {
	r := compact.NewReader(b)
	e := &envelope{level: r.Uint()}
	if r.Err() == nil && e.level > level {
		return e, nil
	}
	e.time = clock.Time(r.Uint64())
	e.typ = r.String()
	e.body = r.Buffer()
	switch {
	case r.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errOp, r.Err())
	case r.Len() > 0:
		return nil, fmt.Errorf("%w: %d bytes too many", errOp, r.Len())
	case e.level == 0:
		return nil, fmt.Errorf("%w: level 0", errOp)
	case !validType(e.typ):
		return nil, fmt.Errorf("%w: type %q", errOp, e.typ)
	case len(e.body) > MaxBody:
		return nil, fmt.Errorf("%w: a body of %d bytes", errOp, len(e.body))
	}
	return e, nil
}

func validType(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxType
}
