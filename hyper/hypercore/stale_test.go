package hypercore

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// asker is a peer that only asks.
type asker struct {
	t      testing.TB
	ch     *protomux.Channel
	syncs  chan wire.Sync
	data   chan uint64 // blocks that came
	refuse chan uint64 // reasons
	closed chan struct{}
	asked  uint64
}

func newAsker(t testing.TB, c *Core) *asker {
	t.Helper()
	x, y := newPipe()
	m, theirs := protomux.New(x, nil), protomux.New(y, nil)
	a := &asker{t: t, syncs: make(chan wire.Sync, 100), data: make(chan uint64, 1), refuse: make(chan uint64, 1), closed: make(chan struct{})}
	dk, hash, opened := c.DiscoveryKey(), x.HandshakeHash(), make(chan struct{})
	h := wire.Handshake{Seeks: true, Capability: hypercrypto.Capability(c.Key(), &hash, x.IsInitiator())}
	m.Pair(wire.Protocol, dk[:], func([]byte) {
		_, err := m.Open(protomux.ChannelOptions{
			Protocol: wire.Protocol, ID: dk[:], Handshake: h.AppendTo(nil),
			OnOpen: func(ch *protomux.Channel, _ []byte) error {
				a.ch = ch
				close(opened)
				return nil
			},
			Messages: []func(*protomux.Channel, []byte) error{
				wire.TypeSync: func(_ *protomux.Channel, body []byte) error {
					s, err := wire.DecodeSync(body)
					a.syncs <- s
					return err
				},
				wire.TypeData: func(_ *protomux.Channel, body []byte) error {
					d, err := wire.DecodeData(body)
					if err == nil && d.Block != nil {
						a.data <- d.Block.Index
					}
					return err
				},
				wire.TypeNoData: func(_ *protomux.Channel, body []byte) error {
					n, err := wire.DecodeNoData(body)
					a.refuse <- n.Reason
					return err
				},
			},
			OnClose: func(*protomux.Channel, bool) { close(a.closed) },
		})
		if err != nil {
			t.Error(err)
		}
	})
	if err := c.Replicate(theirs); err != nil {
		t.Fatal(err)
	}
	ended, theirsEnded := runMux(m), runMux(theirs)
	t.Cleanup(func() {
		m.Close()
		theirs.Close()
		<-ended
		<-theirsEnded
	})
	select {
	case <-opened:
	case <-timeout(t).Done():
		t.Fatal("no channel")
	}
	return a
}

// ask asks for a block and returns it, or the reason why there is none.
func (a *asker) ask(fork, block uint64) (index, reason uint64, ok bool) {
	a.t.Helper()
	a.asked++
	q := wire.Request{ID: a.asked, Fork: fork, Request: merkle.Request{Block: &merkle.BlockRequest{Index: block}}}
	a.ch.SendFunc(wire.TypeRequest, 64, q.AppendTo)
	select {
	case i := <-a.data:
		return i, 0, true
	case r := <-a.refuse:
		return 0, r, false
	case <-a.closed:
		a.t.Fatalf("request %d ended the connection", a.asked)
	case <-timeout(a.t).Done():
		a.t.Fatalf("request %d was not answered", a.asked)
	}
	return 0, 0, false
}

func (a *asker) gets(what string, fork, block uint64) {
	a.t.Helper()
	if i, reason, ok := a.ask(fork, block); !ok || i != block {
		a.t.Errorf("%s: block %d, %v, reason %d", what, i, ok, reason)
	}
}

func (a *asker) refused(what string, fork, block, want uint64) {
	a.t.Helper()
	if _, reason, ok := a.ask(fork, block); ok || reason != want {
		a.t.Errorf("%s: answered %v, reason %d, want %d", what, ok, reason, want)
	}
}

// TestRequestsThatAForkMadeStaleAreRefusedWithoutReason asks while the log is on
// a fork that peers do not know of yet. JavaScript peers count reasons and give
// up on who gives many, and these requests were right when they were sent.
func TestRequestsThatAForkMadeStaleAreRefusedWithoutReason(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1), Relaxed: true})
	mustAppend(t, w, testBlocks(0, 10)...)
	a := newAsker(t, w)
	until := func(fork, length uint64) {
		t.Helper()
		for {
			select {
			case s := <-a.syncs:
				if s.Fork == fork && s.Length == length {
					return
				}
			case <-timeout(t).Done():
				t.Fatalf("fork %d with %d blocks is not announced", fork, length)
			}
		}
	}
	until(0, 10)
	a.gets("before the fork", 0, 2)
	a.refused("a block that never was", 0, 30, wire.ReasonNotAvailable)

	// Somebody else is about to publish the fork, and takes their time.
	w.log.publishing.Store(true)
	if err := w.Truncate(t.Context(), 5, nil); err != nil {
		t.Fatal(err)
	}
	if p := w.log.public(); p.Fork != 0 || w.Fork() != 1 {
		t.Fatalf("fork %d is public, the log is on %d", p.Fork, w.Fork())
	}
	for range 2 * maxInvalid {
		a.refused("a block that both forks have", 0, 2, wire.ReasonNone)
		a.refused("a block that the fork dropped", 0, 8, wire.ReasonNone)
		a.refused("a fork that nobody was told of", 1, 2, wire.ReasonNone)
	}
	select {
	case s := <-a.syncs:
		t.Errorf("%+v was sent before it is public", s)
	default:
	}

	w.log.publishing.Store(false)
	w.log.startPublishing()
	until(1, 5)
	a.refused("the old fork, afterwards", 0, 2, wire.ReasonNone)
	a.gets("the new fork", 1, 2)
}
