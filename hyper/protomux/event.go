package protomux

import "fmt"

// An event is a handler call that is due. Events are queued where their cause
// is noticed, under mu, and run in order by whoever holds hmu next: the read
// loop before and after every message, or the event loop.
type event struct {
	kind    eventKind
	channel *Channel
	remote  bool     // eventClose: by the other side
	opening *opening // eventOpen: what the other side sent
}

type eventKind uint8

const (
	eventOpen eventKind = iota
	eventClose
	eventDrain
)

// push queues e. mu is held.
func (m *Mux) push(e event) {
	m.events = append(m.events, e)
	m.hasEvents.Store(true)
	select {
	case m.wakeEvents <- struct{}{}:
	default:
	}
}

// eventLoop runs the events that occur while the read loop waits for a frame.
func (m *Mux) eventLoop() {
	for {
		select {
		case <-m.wakeEvents:
		case <-m.done:
			return
		}
		m.hmu.Lock()
		err := m.runEvents()
		if err == nil {
			err = m.endBurst()
		}
		m.hmu.Unlock()
		if err != nil {
			m.fail(err)
			return
		}
	}
}

// runEvents runs all queued events. hmu is held.
func (m *Mux) runEvents() error {
	for m.hasEvents.Load() {
		m.mu.Lock()
		events := m.events
		m.events = nil
		m.hasEvents.Store(false)
		ended := m.finished
		m.mu.Unlock()
		for i, e := range events {
			if ended && e.kind != eventClose {
				continue
			}
			if err := m.run(e); err != nil {
				// The rest still holds OnClose calls.
				m.mu.Lock()
				m.events = append(events[i+1:], m.events...)
				m.hasEvents.Store(len(m.events) > 0)
				m.mu.Unlock()
				return err
			}
		}
	}
	return nil
}

func (m *Mux) run(e event) error {
	c := e.channel
	switch e.kind {
	case eventOpen:
		return m.runOpen(c, e.opening)
	case eventClose:
		if c.opts.OnClose != nil {
			c.opts.OnClose(c, e.remote)
		}
	case eventDrain:
		m.mu.Lock()
		var channels []*Channel
		for _, c := range m.table.local {
			if c != nil && c.opts.OnDrain != nil {
				channels = append(channels, c)
			}
		}
		m.mu.Unlock()
		for _, c := range channels {
			if c.live.Load() {
				c.opts.OnDrain(c)
			}
		}
	}
	return nil
}

// runOpen calls OnOpen and then hands over the messages that came too early.
func (m *Mux) runOpen(c *Channel, o *opening) error {
	m.mu.Lock()
	open := c.state == stateOpen
	m.mu.Unlock()
	if open && c.opts.OnOpen != nil {
		if err := c.opts.OnOpen(c, o.handshake); err != nil {
			return fmt.Errorf("protomux: open %q: %w", c.opts.Protocol, err)
		}
	}
	m.mu.Lock()
	if open = c.state == stateOpen; open {
		c.live.Store(true)
	}
	m.table.forget(o)
	m.room.Broadcast()
	m.mu.Unlock()
	if open {
		m.touch(c)
	}
	for _, msg := range o.messages {
		if !c.live.Load() {
			return nil
		}
		if err := m.deliver(c, msg.typ, msg.body); err != nil {
			return err
		}
	}
	return nil
}

// touch notes that c is owed OnBatchEnd. hmu is held.
func (m *Mux) touch(c *Channel) {
	if !c.touched && c.opts.OnBatchEnd != nil {
		c.touched = true
		m.touched = append(m.touched, c)
	}
}
