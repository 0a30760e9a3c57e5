package protomux

import (
	"bytes"

	"github.com/tradle/cloudpal/hyper/compact"
)

// Types of messages on channel 0. Others are ignored.
const (
	controlBatch  = 0
	controlOpen   = 1
	controlReject = 2
	controlClose  = 3
)

// handleControl handles a message on channel 0 other than a batch. hmu is held.
func (m *Mux) handleControl(typ uint64, body []byte) error {
	r := compact.NewReader(body)
	switch typ {
	case controlOpen:
		number := r.Uint()
		protocol := r.Buffer()
		id := r.Buffer()
		handshake := r.Raw()
		if err := r.Err(); err != nil {
			return violation("open: %v", err)
		}
		return m.handleOpen(number, name{string(protocol), string(id)}, handshake)
	case controlReject:
		number := r.Uint()
		if err := r.Err(); err != nil {
			return violation("reject: %v", err)
		}
		return m.handleReject(number)
	case controlClose:
		number := r.Uint()
		if err := r.Err(); err != nil {
			return violation("close: %v", err)
		}
		return m.handleClose(number)
	}
	return nil
}

// handleOpen: the other side opens its channel number.
//
//	00 01 | number uint | protocol string | id buffer | handshake
func (m *Mux) handleOpen(number uint64, n name, handshake []byte) error {
	cost := len(n.protocol) + len(n.id) + len(handshake)
	if cost > maxNames {
		return violation("open of %d bytes", cost)
	}
	m.mu.Lock()
	t := &m.table
	switch {
	case m.err != nil:
		m.mu.Unlock()
		return nil
	case number == 0 || number > uint64(len(t.remote))+1 || number > maxRemote:
		m.mu.Unlock()
		return violation("open of channel %d after %d", number, len(t.remote))
	case number == uint64(len(t.remote))+1:
		t.remote = append(t.remote, remoteChannel{})
	case t.remote[number-1] != remoteChannel{}:
		m.mu.Unlock()
		return violation("open of channel %d, which is in use", number)
	}
	if w := t.names[n]; w != nil && len(w.local) > 0 {
		c := w.local[0]
		t.unawait(c)
		if c.closing {
			// Now the other side has it open and will understand the close.
			m.sendClose(c.local)
			t.release(c)
			m.mu.Unlock()
			return nil
		}
		c.remote = number
		c.state = stateOpen
		t.remote[number-1] = remoteChannel{channel: c}
		// The event runs before the frame is given back.
		m.push(event{kind: eventOpen, channel: c, opening: &opening{handshake: handshake}})
		m.mu.Unlock()
		return m.runEvents()
	}
	if !m.startPairing(n) && t.at(n).pairing == 0 {
		t.tidy(n)
		m.reject(number)
		m.mu.Unlock()
		m.opts.Log.Debug("protomux: reject", "protocol", n.protocol)
		return nil
	}
	o := &opening{name: n, handshake: bytes.Clone(handshake), cost: messageCost + cost}
	t.remote[number-1] = remoteChannel{opening: o}
	t.opening += o.cost
	w := t.at(n)
	w.remote = append(w.remote, number)
	m.mu.Unlock()
	return nil
}

// handleReject: the other side does not want what this side opened as number.
//
//	00 02 | number uint
func (m *Mux) handleReject(number uint64) error {
	m.mu.Lock()
	t := &m.table
	if m.err != nil {
		m.mu.Unlock()
		return nil
	}
	if number == 0 || number > uint64(len(t.local)) || t.local[number-1] == nil || t.local[number-1].state != stateWaiting {
		m.mu.Unlock()
		return violation("reject of channel %d, which does not wait", number)
	}
	c := t.local[number-1]
	t.unawait(c)
	t.release(c)
	if !c.closing {
		m.push(event{kind: eventClose, channel: c, remote: true})
	}
	m.mu.Unlock()
	return m.runEvents()
}

// handleClose: the other side closes its channel number.
//
//	00 03 | number uint
func (m *Mux) handleClose(number uint64) error {
	m.mu.Lock()
	t := &m.table
	if m.err != nil || number == 0 || number > uint64(len(t.remote)) {
		m.mu.Unlock()
		return nil
	}
	r := &t.remote[number-1]
	switch {
	case r.opening != nil:
		// It is answered by a reject when this side has made up its mind; until
		// then the other side cannot use the number again.
		o := r.opening
		o.closed = true
		o.messages = nil
		t.buffered -= o.buffered
		o.buffered = 0
	case r.channel != nil:
		c := r.channel
		t.release(c)
		m.push(event{kind: eventClose, channel: c, remote: true})
	}
	m.mu.Unlock()
	return m.runEvents()
}
