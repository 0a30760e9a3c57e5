package secretstream

import "sync/atomic"

// Traffic counts what a connection has carried. Empty messages count, handshake
// and header do not; bytes are those of messages with their frames.
type Traffic struct {
	MessagesSent, MessagesReceived uint64
	BytesSent, BytesReceived       uint64
}

type traffic struct{ messagesSent, messagesReceived, bytesSent, bytesReceived atomic.Uint64 }

// Traffic returns the counters as they are now.
func (c *Conn) Traffic() Traffic {
	t := &c.traffic
	return Traffic{t.messagesSent.Load(), t.messagesReceived.Load(), t.bytesSent.Load(), t.bytesReceived.Load()}
}

func (t *traffic) received(body int) {
	t.messagesReceived.Add(1)
	t.bytesReceived.Add(uint64(lengthSize + body))
}

func (t *traffic) sent(messages, bytes int) {
	t.messagesSent.Add(uint64(messages))
	t.bytesSent.Add(uint64(bytes))
}
