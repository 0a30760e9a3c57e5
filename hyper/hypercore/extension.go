package hypercore

import (
	"github.com/tradle/cloudpal/hyper/internal/wire"
)

// Extension sends and receives messages of one name next to the log. They are
// not part of the log, not signed and not kept.
type Extension struct {
	repl      *replicator
	name      string
	onMessage func(p *Peer, payload []byte)
}

// RegisterExtension starts to receive messages of a name. onMessage runs on the
// connection's goroutine: it must return quickly, and payload is valid during
// the call only. A second registration of a name replaces the first.
func (c *Core) RegisterExtension(name string, onMessage func(p *Peer, payload []byte)) *Extension {
	r := c.log.repl
	e := &Extension{repl: r, name: name, onMessage: onMessage}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.extensions[name] = e
	return e
}

// Send sends a message to one peer. It is dropped if the peer is gone.
func (e *Extension) Send(p *Peer, payload []byte) {
	e.repl.mu.Lock()
	defer e.repl.mu.Unlock()
	e.send(p, payload)
}

// Broadcast sends a message to every peer.
func (e *Extension) Broadcast(payload []byte) {
	e.repl.mu.Lock()
	defer e.repl.mu.Unlock()
	for _, p := range e.repl.peers {
		e.send(p, payload)
	}
}

func (e *Extension) send(p *Peer, payload []byte) {
	if !p.opened {
		return
	}
	m := wire.Extension{Name: e.name, Payload: payload}
	if p.lastExtSent == e.name {
		m.Name = "" // the same as before
	}
	p.lastExtSent = e.name
	p.ch.SendFunc(wire.TypeExtension, len(m.Name)+len(payload)+8, m.AppendTo)
}

// Close stops receiving.
func (e *Extension) Close() {
	e.repl.mu.Lock()
	defer e.repl.mu.Unlock()
	if e.repl.extensions[e.name] == e {
		delete(e.repl.extensions, e.name)
	}
}

// maxExtensionName bounds names from peers.
const maxExtensionName = 1024

func (p *Peer) onExtension(body []byte) error {
	m, err := wire.DecodeExtension(body)
	if err != nil {
		return err
	}
	r := p.repl
	r.mu.Lock()
	if m.Name == "" {
		m.Name = p.lastExtRead
	} else if len(m.Name) <= maxExtensionName {
		p.lastExtRead = m.Name
	}
	e := r.extensions[m.Name]
	r.mu.Unlock()
	if e != nil {
		e.onMessage(p, m.Payload)
	}
	return nil
}
