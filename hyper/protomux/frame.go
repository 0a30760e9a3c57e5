package protomux

import (
	"bytes"
	"fmt"

	"github.com/tradle/cloudpal/hyper/compact"
)

// readUint reads an integer from the front of b.
func readUint(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] <= 0xfc {
		return uint64(b[0]), b[1:], true
	}
	r := compact.NewReader(b)
	n = r.Uint()
	return n, b[r.Offset():], r.Err() == nil
}

// handleFrame handles a frame:
//
//	channel uint | type uint | body
//
// An empty one keeps the connection alive and means nothing. hmu is held.
func (m *Mux) handleFrame(frame []byte) error {
	if len(frame) == 0 {
		return nil
	}
	channel, rest, ok := readUint(frame)
	if !ok {
		return violation("frame without channel")
	}
	typ, body, ok := readUint(rest)
	if !ok {
		return violation("frame without type")
	}
	switch {
	case channel != 0:
		_, err := m.dispatch(channel, typ, body)
		return err
	case typ == controlBatch:
		return m.handleBatch(body)
	}
	return m.handleControl(typ, body)
}

// handleBatch handles a batch:
//
//	channel uint | items
//
// where an item is a size, the type and the body, or a 0 and the channel of the
// items that follow.
func (m *Mux) handleBatch(b []byte) error {
	channel, b, ok := readUint(b)
	if !ok {
		return violation("batch without channel")
	}
	// The channel of the last message, while nothing changes about it.
	var current *Channel
	for len(b) > 0 {
		size, rest, ok := readUint(b)
		if !ok || size > uint64(len(rest)) {
			return violation("item beyond the end of its batch")
		}
		if size == 0 {
			if channel, b, ok = readUint(rest); !ok {
				return violation("batch without channel")
			}
			current = nil
			continue
		}
		item := rest[:size:size]
		b = rest[size:]
		typ, body, ok := readUint(item)
		if !ok {
			return violation("item without type")
		}
		var err error
		switch {
		case channel == 0 && typ == controlBatch:
			return violation("batch in a batch")
		case channel == 0:
			err = m.handleControl(typ, body)
		case current != nil && current.live.Load() && !m.hasEvents.Load():
			err = m.deliver(current, typ, body)
		default:
			current, err = m.dispatch(channel, typ, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dispatch hands a message to the channel with the other side's number, which it
// returns, or keeps it until that channel is open. Messages for channels that
// are closed already are dropped.
func (m *Mux) dispatch(number, typ uint64, body []byte) (*Channel, error) {
	for {
		m.mu.Lock()
		// After the end control messages mean nothing, so numbers do not either.
		if m.err != nil || number > uint64(len(m.table.remote)) {
			m.mu.Unlock()
			return nil, nil
		}
		r := m.table.remote[number-1]
		if o := r.opening; o != nil {
			if !o.closed {
				cost := messageCost + len(body)
				o.messages = append(o.messages, message{typ, bytes.Clone(body)})
				o.buffered += cost
				m.table.buffered += cost
			}
			m.mu.Unlock()
			return nil, nil
		}
		events := len(m.events) > 0
		m.mu.Unlock()
		if events {
			// One of them may open or close the channel.
			if err := m.runEvents(); err != nil {
				return nil, err
			}
			continue
		}
		if r.channel == nil || !r.channel.live.Load() {
			return nil, nil
		}
		return r.channel, m.deliver(r.channel, typ, body)
	}
}

// deliver calls the handler of a message and then those of events that it has
// caused. hmu is held.
func (m *Mux) deliver(c *Channel, typ uint64, body []byte) error {
	if typ >= uint64(len(c.opts.Messages)) || c.opts.Messages[typ] == nil {
		return nil
	}
	m.touch(c)
	if err := c.opts.Messages[typ](c, body); err != nil {
		return fmt.Errorf("protomux: message %d of %q: %w", typ, c.opts.Protocol, err)
	}
	if m.hasEvents.Load() {
		return m.runEvents()
	}
	return nil
}
