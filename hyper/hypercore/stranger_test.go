package hypercore

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// stranger is a peer that knows the key and keeps to no rule.
type stranger struct {
	t      testing.TB
	a      *arena
	script []byte
	front  []*encounter
	flood  int

	conflict bool // it showed what is a conflict
	forked   bool // it showed the other fork
}

// encounter is the stranger's connection to one log.
type encounter struct {
	m       *protomux.Mux
	end     *pipeEnd
	done    []<-chan struct{}
	blocked chan struct{} // not nil: nothing is read until it is closed

	mu      sync.Mutex
	ch      *protomux.Channel
	pending []wire.Request // of the other side
}

func (s *stranger) meet(c *Core) {
	x, y := newPipe()
	e := &encounter{end: x, blocked: make(chan struct{})}
	e.m = protomux.New(&gated{pipeEnd: x, e: e}, nil)
	m := protomux.New(y, nil)
	dk := c.DiscoveryKey()
	e.m.Pair(wire.Protocol, dk[:], func([]byte) { s.open(e) })
	if err := c.Replicate(m); err != nil {
		s.t.Fatal(err)
	}
	e.done = append(e.done, runMux(e.m), runMux(m))
	s.front = append(s.front, e)
}

// gated is a stream that can stop to be read.
type gated struct {
	*pipeEnd
	e *encounter
}

func (g *gated) ReadFrame() ([]byte, error) {
	g.e.mu.Lock()
	b := g.e.blocked
	g.e.mu.Unlock()
	if b == nil {
		<-g.own
	}
	return g.pipeEnd.ReadFrame()
}

func (s *stranger) open(e *encounter) {
	key, dk := s.a.w.Key(), s.a.w.DiscoveryKey()
	hash := e.end.HandshakeHash()
	h := wire.Handshake{Seeks: true, Capability: hypercrypto.Capability(key, &hash, e.end.IsInitiator())}
	ch, err := e.m.Open(protomux.ChannelOptions{
		Protocol: wire.Protocol, ID: dk[:], Handshake: h.AppendTo(nil),
		Messages: []func(*protomux.Channel, []byte) error{
			wire.TypeRequest: func(_ *protomux.Channel, body []byte) error {
				q, err := wire.DecodeRequest(body)
				if err != nil {
					return err
				}
				e.mu.Lock()
				defer e.mu.Unlock()
				if len(e.pending) < 1000 {
					e.pending = append(e.pending, q)
				}
				return nil
			},
		},
	})
	if err != nil {
		return // the other side has had enough
	}
	e.mu.Lock()
	e.ch = ch
	e.mu.Unlock()
}

// leave ends the connections and waits until all that was said is digested.
func (s *stranger) leave() {
	for _, e := range s.front {
		if e.blocked != nil {
			_ = e.m.Flush(timeout(s.t))
		}
		e.m.Close()
		for _, d := range e.done {
			<-d
		}
	}
}

func (s *stranger) byte() byte {
	if len(s.script) == 0 {
		return 0
	}
	b := s.script[0]
	s.script = s.script[1:]
	return b
}

// number is an integer as it might be, or not.
func (s *stranger) number() uint64 {
	b := s.byte()
	switch n := uint64(b >> 3); b & 7 {
	case 0, 1:
		return n
	case 2:
		return arenaBlocks - 16 + n
	case 3:
		return 1 << (n & 31)
	case 4:
		return 1<<40 + n
	case 5:
		return 1<<(21+n) + n&1
	case 6:
		return 1<<53 - 1 - n
	default:
		return uint64(s.byte())<<8 | uint64(s.byte())
	}
}

func (s *stranger) act() {
	for len(s.script) > 0 {
		op := s.byte()
		e := s.front[op>>7]
		e.mu.Lock()
		ch := e.ch
		e.mu.Unlock()
		for i := 0; ch == nil && i < 1000; i++ {
			// The other side is about to open.
			time.Sleep(10 * time.Microsecond)
			e.mu.Lock()
			ch = e.ch
			e.mu.Unlock()
		}
		if ch == nil {
			return
		}
		s.step(e, ch, op&0x7f)
	}
}

func (s *stranger) step(e *encounter, ch *protomux.Channel, op byte) {
	send := func(typ int, enc func([]byte) []byte) { ch.Send(typ, enc(nil)) }
	switch op % 24 {
	case 0:
		f := s.byte()
		m := wire.Sync{Fork: s.number(), Length: s.number(), RemoteLength: s.number(), CanUpgrade: f&1 == 0, Uploading: f&2 == 0,
			Downloading: f&4 == 0, HasManifest: f&8 == 0, AllowPush: f&16 != 0}
		send(wire.TypeSync, m.AppendTo)
	case 1, 2: // what an honest peer says, so that it is asked
		src := s.source()
		m := wire.Sync{Fork: src.Fork(), Length: src.Length(), RemoteLength: arenaBlocks, CanUpgrade: true, Uploading: true, Downloading: true, HasManifest: true}
		send(wire.TypeSync, m.AppendTo)
		r := wire.Range{Length: src.Length()}
		send(wire.TypeRange, r.AppendTo)
	case 3, 4:
		q := s.request()
		send(wire.TypeRequest, q.AppendTo)
	case 5:
		m := wire.Cancel{Request: s.number()}
		send(wire.TypeCancel, m.AppendTo)
	case 6, 7, 8, 9, 10:
		s.answer(e, ch)
	case 11:
		m := wire.NoData{Request: s.number(), Reason: uint64(s.byte() & 3)}
		send(wire.TypeNoData, m.AppendTo)
	case 12, 13:
		m := wire.Want{Start: s.number(), Length: s.number(), Any: op&1 == 0}
		typ := wire.TypeWant
		if s.byte()&1 == 1 {
			typ = wire.TypeUnwant
		}
		send(typ, m.AppendTo)
	case 14:
		m := wire.Bitfield{Start: s.number(), Bits: bytes.Repeat([]byte{s.byte()}, 4*int(s.byte()))}
		send(wire.TypeBitfield, m.AppendTo)
	case 15, 16:
		m := wire.Range{Drop: s.byte()&1 == 1, Start: s.number(), Length: s.number()}
		send(wire.TypeRange, m.AppendTo)
	case 17:
		m := wire.Extension{Name: string(bytes.Repeat([]byte{'e'}, int(s.byte()))), Payload: []byte{1}}
		send(wire.TypeExtension, m.AppendTo)
	case 18:
		body := make([]byte, s.byte()&63)
		for i := range body {
			body[i] = s.byte()
		}
		ch.Send(int(s.byte()%12), body)
	case 19:
		ch.Close()
		s.open(e)
	case 20: // a flood of one request
		q := s.request()
		body := q.AppendTo(nil)
		for range 1 << (s.byte() % 13) {
			if s.flood++; s.flood > 20_000 {
				break // more is a matter of time only
			}
			ch.Send(wire.TypeRequest, body)
		}
	case 21: // evidence, or what looks like it
		src := s.source()
		d := s.prove(src, &merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 1 + s.number()%arenaBlocks}})
		if d != nil {
			s.mutate(d)
			send(wire.TypeData, d.AppendTo)
		}
	case 22:
		if e.blocked != nil && s.byte()&7 == 0 {
			e.mu.Lock()
			e.blocked = nil
			e.mu.Unlock()
		}
	case 23:
		time.Sleep(100 * time.Microsecond) // let the other side do something
	}
}

// source chooses whose history is told.
func (s *stranger) source() *Core {
	switch s.byte() % 8 {
	case 0:
		s.conflict = true
		return s.a.twin
	case 1, 2:
		s.forked = true
		return s.a.fork
	default:
		return s.a.w
	}
}

func (s *stranger) request() wire.Request {
	q := wire.Request{ID: uint64(s.byte()), Fork: uint64(s.byte() >> 6), Priority: uint64(s.byte() & 3)}
	f := s.byte()
	if f&1 == 0 {
		q.Block = &merkle.BlockRequest{Index: s.number(), Levels: uint64(s.byte() & 7)}
	}
	if f&6 == 2 {
		q.Hash = &merkle.HashRequest{Index: s.number(), Levels: s.number()}
	}
	if f&24 == 8 {
		q.Seek = &merkle.SeekRequest{Bytes: s.number(), Padding: uint64(s.byte() & 15)}
	}
	if f&96 == 32 {
		q.Upgrade = &merkle.UpgradeRequest{Start: s.number(), Length: s.number()}
	}
	q.Manifest = f&128 != 0
	return q
}

// prove answers a request honestly, nil if that is not possible.
func (s *stranger) prove(c *Core, q *merkle.Request) *wire.Data {
	h := c.log.state()
	proof, err := h.Tree.Prove(c.log, q, 0)
	if err != nil {
		return nil
	}
	if proof.Block != nil {
		proof.Block.Value = append([]byte(nil), testBlock(int(proof.Block.Index))...)
		if b, err := c.GetLocal(proof.Block.Index); err == nil {
			proof.Block.Value = b
		}
	}
	if proof.Upgrade != nil {
		proof.Upgrade.Signature = bytes.Clone(h.signature)
	}
	d := &wire.Data{Proof: *proof}
	if q.Manifest || s.byte()&7 == 0 {
		d.Manifest = c.Manifest()
	}
	return d
}

// answer answers a request of the other side, or none, more or less rightly and
// more or less often.
func (s *stranger) answer(e *encounter, ch *protomux.Channel) {
	how := s.byte()
	q := wire.Request{ID: uint64(how), Request: merkle.Request{Block: &merkle.BlockRequest{Index: uint64(how) % arenaBlocks}}}
	for i := 0; how&1 == 0 && i < 4; i++ {
		e.mu.Lock()
		if n := len(e.pending); n > 0 {
			i = n - 1
			if how&2 != 0 {
				i = 0
			}
			q = e.pending[i]
			if how&4 == 0 {
				e.pending = append(e.pending[:i], e.pending[i+1:]...)
			}
			i = 4
		}
		e.mu.Unlock()
		if i < 4 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	d := s.prove(s.source(), &q.Request)
	if d == nil {
		return
	}
	d.Request = q.ID
	s.mutate(d)
	body := d.AppendTo(nil)
	for range 1 + int(how>>6) {
		ch.Send(wire.TypeData, body)
	}
}

// mutate spoils an answer, or not.
func (s *stranger) mutate(d *wire.Data) {
	var lists []*[]merkle.Node
	if d.Block != nil {
		lists = append(lists, &d.Block.Nodes)
	}
	if d.Hash != nil {
		lists = append(lists, &d.Hash.Nodes)
	}
	if d.Seek != nil {
		lists = append(lists, &d.Seek.Nodes)
	}
	if d.Upgrade != nil {
		lists = append(lists, &d.Upgrade.Nodes, &d.Upgrade.Additional)
	}
	for n := s.byte() % 4; n > 0; n-- {
		op := s.byte()
		var list *[]merkle.Node
		var node *merkle.Node
		if len(lists) > 0 {
			list = lists[int(op>>4)%len(lists)]
			if len(*list) > 0 {
				node = &(*list)[int(s.byte())%len(*list)]
			}
		}
		switch op % 12 {
		case 0:
			if node != nil {
				node.Hash[s.byte()%32] ^= 1 << (op >> 5)
			}
		case 1:
			if node != nil {
				node.Size = s.number()
			}
		case 2:
			if node != nil {
				node.Index = s.number()
			}
		case 3:
			if node != nil {
				*list = (*list)[:len(*list)-1]
			}
		case 4:
			if node != nil {
				*list = append(*list, *node)
			}
		case 5:
			if d.Block != nil {
				d.Block.Value = append(d.Block.Value, s.byte())
			}
		case 6:
			if d.Block != nil && len(d.Block.Value) > 0 {
				d.Block.Value[0] ^= op
			}
		case 7:
			if u := d.Upgrade; u != nil && len(u.Signature) > 0 {
				u.Signature[int(s.byte())%len(u.Signature)] ^= 1
			}
		case 8:
			d.Fork = s.number()
		case 9:
			d.Request = s.number()
		case 10:
			if d.Upgrade != nil {
				d.Upgrade.Start, d.Upgrade.Length = s.number(), s.number()
			}
		case 11:
			d.Upgrade = nil
		}
	}
}
