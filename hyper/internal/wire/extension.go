package wire

import "github.com/tradle/cloudpal/hyper/compact"

// Extension carries a message of an application.
//
//	string name, then the payload up to the end of the message
type Extension struct {
	// Name tells whose message it is. The empty name repeats the one that was
	// last sent in the same direction of the channel.
	Name    string
	Payload []byte
}

// AppendTo appends the encoded message.
func (m *Extension) AppendTo(b []byte) []byte {
	return append(compact.AppendString(b, m.Name), m.Payload...)
}

// DecodeExtension decodes an Extension, whose Payload points into body.
func DecodeExtension(body []byte) (Extension, error) {
	r := compact.NewReader(body)
	m := Extension{Name: r.String(), Payload: r.Raw()}
	return m, result("extension", &r)
}
