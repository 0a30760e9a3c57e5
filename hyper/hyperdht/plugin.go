package hyperdht

import (
	"context"
	"fmt"
	"iter"
	"net/netip"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// Plugin extends the network by commands of its own. Only persistent nodes that
// have a plugin of that name and version answer them.
type Plugin struct {
	// Name, at most 255 bytes, and Version tell plugins apart.
	Name    string
	Version uint64
	// Answer returns the value to answer with, at most MaxValue bytes; ok false
	// means no answer. It is called while packets are received and must not wait.
	Answer func(q PluginRequest) (value []byte, ok bool)
}

const maxPluginName = 255

// PluginRequest is a request to a plugin.
type PluginRequest struct {
	From    netip.AddrPort
	Command uint64
	Target  *Topic // nil if there is none
	Value   []byte // nil if there is none; valid until Answer returns
	// Proven tells that the requester has shown a token, so From is not forged. A
	// plugin must not store anything for others, nor answer with much, before.
	Proven bool
}

// pluginMessage is the value of a request.
//
//	string name, uint version, uint command, uint flags (1 value), [buffer value]
type pluginMessage struct {
	name             string
	version, command uint64
	value            []byte
}

func (m *pluginMessage) appendTo(b []byte) []byte {
	b = compact.AppendString(b, m.name)
	b = compact.AppendUint(b, m.version)
	b = compact.AppendUint(b, m.command)
	if m.value == nil {
		return compact.AppendUint(b, 0)
	}
	return compact.AppendBuffer(compact.AppendUint(b, 1), m.value)
}

func decodePluginMessage(b []byte) (m pluginMessage, err error) {
	r := compact.NewReader(b)
	m.name, m.version, m.command = r.String(), r.Uint(), r.Uint()
	if r.Uint()&1 != 0 {
		if m.value = r.Buffer(); m.value == nil {
			m.value = []byte{}
		}
	}
	if r.Err() != nil {
		return pluginMessage{}, errFormat
	}
	return m, nil
}

// Register makes this node answer requests to a plugin, until unregister. A
// plugin of the same name takes the place of an earlier one.
func (d *DHT) Register(p Plugin) (unregister func(), err error) {
	if p.Name == "" || len(p.Name) > maxPluginName || p.Answer == nil {
		return nil, fmt.Errorf("hyperdht: a plugin needs a name of 1 to %d bytes and something to answer with", maxPluginName)
	}
	own := &p
	d.plugins.Store(p.Name, own)
	return func() { d.plugins.CompareAndDelete(p.Name, own) }, nil
}

// handlePlugin answers a request to a plugin. One that is not here, or not asked
// properly, is silent.
func (d *DHT) handlePlugin(r *dhtrpc.Request) bool {
	if _, persistent := d.node.PersistentID(); !persistent {
		return false
	}
	m, err := decodePluginMessage(r.Value)
	if r.Value == nil || err != nil {
		return true
	}
	v, _ := d.plugins.Load(m.name)
	p, _ := v.(*Plugin)
	if p == nil || p.Version != m.version {
		return true
	}
	q := PluginRequest{From: r.From, Command: m.command, Value: m.value, Proven: r.Token != nil}
	if r.Target != nil {
		t := Topic(*r.Target)
		q.Target = &t
	}
	if value, ok := p.Answer(q); ok && len(value) <= MaxValue {
		r.Reply(dhtrpc.Reply{Value: value, Token: true, Closer: true})
	}
	return true
}

// PluginAnswer is what one node's plugin said.
type PluginAnswer struct {
	From  netip.AddrPort
	Value []byte
}

// QueryPlugin asks the plugins of the nodes nearest to a target. The loop does the
// work; leaving it ends the query. value may be nil.
func (d *DHT) QueryPlugin(ctx context.Context, target Topic, name string, version, command uint64, value []byte) iter.Seq2[PluginAnswer, error] {
	return func(yield func(PluginAnswer, error) bool) {
		if err := d.ready(ctx); err != nil {
			yield(PluginAnswer{}, err)
			return
		}
		m := pluginMessage{name, version, command, value}
		q := dhtrpc.Query{Target: dhtrpc.ID(target), Command: cmdPlugin, Value: m.appendTo(nil)}
		if len(q.Value) > MaxValue {
			yield(PluginAnswer{}, fmt.Errorf("%w: plugin request of %d bytes", ErrTooLarge, len(q.Value)))
			return
		}
		for r, err := range d.node.Query(ctx, &q) {
			if err != nil {
				yield(PluginAnswer{}, err)
				return
			}
			if r.Value != nil && !yield(PluginAnswer{r.From, r.Value}, nil) {
				return
			}
		}
	}
}
