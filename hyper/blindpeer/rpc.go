package blindpeer

import (
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// The channel of calls: protocol protomux-rpc, with the mirror's public key as id.
const (
	rpcProtocol = "protomux-rpc"
	msgCall     = 0
	msgReply    = 1
	// maxCall bounds a call or reply that is looked at, in bytes, but a statement.
	maxCall = 4096
)

// call is a request: uint id, string method, value. Id 0 wants no reply.
type call struct {
	ID     uint64
	Method string
	Value  []byte
}

func decodeCall(b []byte) (call, error) {
	r := compact.NewReader(b)
	c := call{ID: r.Uint(), Method: r.String(), Value: r.Raw()}
	if err := r.Err(); err != nil {
		return call{}, fmt.Errorf("%w: call: %w", ErrMessage, err)
	}
	if len(b) > maxCall && (c.Method != methodRelease || len(b) > maxStatement) {
		return call{}, fmt.Errorf("%w: a call of %d bytes", ErrMessage, len(b))
	}
	return c, nil
}

func (c *call) appendTo(b []byte) []byte {
	b = compact.AppendUint(b, c.ID)
	b = compact.AppendString(b, c.Method)
	return append(b, c.Value...)
}

// reply answers a call: one byte of flags (1 error, 2 code, 4 cause, 8 context of
// the cause), uint id, then the value, or string message, [string code],
// [string cause, string code of the cause, [string context]].
type reply struct {
	ID    uint64
	Value []byte
	Err   *RemoteError
}

// RemoteError is the error that the other side of a call reports.
type RemoteError struct {
	Message, Code    string
	Cause, CauseCode string // why; empty if not said
}

func (e *RemoteError) Error() string {
	text := e.Message
	if e.Cause != "" {
		text = e.Cause
	}
	return "blindpeer: the mirror refuses: " + text
}

// Codes of errors.
const (
	codeUnknown = "UNKNOWN_METHOD"
	codeFailed  = "REQUEST_ERROR"
	codeDecode  = "DECODE_ERROR"
)

func decodeReply(b []byte) (reply, error) {
	if len(b) > maxCall {
		return reply{}, fmt.Errorf("%w: a reply of %d bytes", ErrMessage, len(b))
	}
	r := compact.NewReader(b)
	flags := r.Byte()
	p := reply{ID: r.Uint()}
	if flags&1 == 0 {
		p.Value = r.Raw()
	} else {
		p.Err = &RemoteError{Message: r.String()}
		if flags&2 != 0 {
			p.Err.Code = r.String()
		}
		if flags&4 != 0 {
			p.Err.Cause, p.Err.CauseCode = r.String(), r.String()
			if flags&8 != 0 {
				_ = r.String()
			}
		}
	}
	if err := r.Err(); err != nil {
		return reply{}, fmt.Errorf("%w: reply: %w", ErrMessage, err)
	}
	return p, nil
}

func (p *reply) appendTo(b []byte) []byte {
	if p.Err == nil {
		b = append(b, 0)
		b = compact.AppendUint(b, p.ID)
		return append(b, p.Value...)
	}
	flags := byte(1 | 2)
	if p.Err.Cause != "" {
		flags |= 4
	}
	b = append(b, flags)
	b = compact.AppendUint(b, p.ID)
	b = compact.AppendString(b, p.Err.Message)
	b = compact.AppendString(b, p.Err.Code)
	if p.Err.Cause != "" {
		b = compact.AppendString(b, p.Err.Cause)
		b = compact.AppendString(b, p.Err.CauseCode)
	}
	return b
}
