package hypercore

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// fakePeer is the other side of a log's channel, as honest as its answer
// function. It claims to have all of core.
type fakePeer struct {
	t      testing.TB
	core   *Core
	key    hypercrypto.Key
	answer func(q *wire.Request) *wire.Data // nil answers are not sent
	cancel func(id uint64)
	ch     chan *protomux.Channel // once open
	closed chan struct{}
}

// send sends an answer that was not given at once.
func (f *fakePeer) send(d *wire.Data) {
	c := <-f.ch
	f.ch <- c
	c.SendFunc(wire.TypeData, d.Size(), d.AppendTo)
}

func newFakePeer(t testing.TB, m *protomux.Mux, core *Core) *fakePeer {
	t.Helper()
	f := &fakePeer{t: t, core: core, key: core.Key()}
	f.open(m)
	return f
}

func (f *fakePeer) open(m *protomux.Mux) {
	f.closed, f.ch = make(chan struct{}), make(chan *protomux.Channel, 1)
	hash := m.Stream().HandshakeHash()
	h := wire.Handshake{Seeks: true, Capability: hypercrypto.Capability(f.key, &hash, m.Stream().IsInitiator())}
	dk := f.core.DiscoveryKey()
	// An open that arrived before the log is attached would be rejected.
	m.Pair(wire.Protocol, dk[:], func([]byte) { f.answerOpen(m, dk[:], &h) })
}

func (f *fakePeer) answerOpen(m *protomux.Mux, dk []byte, h *wire.Handshake) {
	_, err := m.Open(protomux.ChannelOptions{
		Protocol: wire.Protocol, ID: dk, Handshake: h.AppendTo(nil),
		OnOpen: func(c *protomux.Channel, _ []byte) error {
			f.ch <- c
			f.sync(c)
			return nil
		},
		Messages: []func(*protomux.Channel, []byte) error{
			wire.TypeSync: func(c *protomux.Channel, body []byte) error {
				f.sync(c)
				return nil
			},
			wire.TypeRequest: func(c *protomux.Channel, body []byte) error {
				q, err := wire.DecodeRequest(body)
				if err != nil || f.answer == nil {
					return err
				}
				if d := f.answer(&q); d != nil {
					c.SendFunc(wire.TypeData, d.Size(), d.AppendTo)
				}
				return nil
			},
			wire.TypeCancel: func(c *protomux.Channel, body []byte) error {
				m, err := wire.DecodeCancel(body)
				if err == nil && f.cancel != nil {
					f.cancel(m.Request)
				}
				return err
			},
		},
		OnClose: func(*protomux.Channel, bool) { close(f.closed) },
	})
	if err != nil {
		f.t.Error(err)
	}
}

func (f *fakePeer) sync(c *protomux.Channel) {
	h := f.core.log.state()
	s := wire.Sync{Fork: h.Fork, Length: h.Length, RemoteLength: h.Length, CanUpgrade: true, Uploading: true, Downloading: true, HasManifest: true}
	c.SendFunc(wire.TypeSync, 32, s.AppendTo)
	r := wire.Range{Length: h.Length}
	c.SendFunc(wire.TypeRange, 16, r.AppendTo)
}

// honest answers a request as the log would.
func (f *fakePeer) honest(q *wire.Request) *wire.Data {
	h := f.core.log.state()
	proof, err := h.Tree.Prove(f.core.log, &q.Request, 0)
	if err != nil {
		f.t.Errorf("request %+v: %v", q, err)
		return nil
	}
	if proof.Block != nil {
		if proof.Block.Value, err = f.core.GetLocal(proof.Block.Index); err != nil {
			f.t.Error(err)
		}
	}
	if proof.Upgrade != nil {
		proof.Upgrade.Signature = h.signature
	}
	d := &wire.Data{Request: q.ID, Proof: *proof}
	if q.Manifest {
		d.Manifest = f.core.Manifest()
	}
	return d
}
