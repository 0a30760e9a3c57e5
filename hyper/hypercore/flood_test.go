package hypercore

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/merkle"
	"github.com/tradle/cloudpal/hyper/internal/wire"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// heap returns the bytes in use. What is allocated while they are counted counts too, even
// if it is garbage at once, so the least of a few counts is the nearest.
func heap() int64 {
	least := int64(math.MaxInt64)
	for range 3 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, int64(m.HeapAlloc))
	}
	return least
}

// TestFloodsTakeBoundedMemory sends hundreds of thousands of messages of each
// kind that make the other side remember or answer something.
func TestFloodsTakeBoundedMemory(t *testing.T) {
	const most = 80 << 20
	rng := rand.New(rand.NewPCG(3, 4))
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	send := func(ch *protomux.Channel, typ int, enc func([]byte) []byte) {
		for !ch.Drained() && !ch.Closed() {
			if err := ch.Mux().Flush(timeout(t)); err != nil {
				return // the other side has had enough, which is its right
			}
		}
		ch.SendFunc(typ, 32, enc)
	}
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, testBlocks(0, 60)...)
	honest := &fakePeer{t: t, core: w}
	for name, flood := range map[string]struct {
		reads bool // the flooding side reads what it gets
		one   func(ch *protomux.Channel, i int)
	}{
		"scattered ranges": {true, func(ch *protomux.Channel, i int) {
			m := wire.Range{Start: rng.Uint64N(1 << 50), Length: 1}
			send(ch, wire.TypeRange, m.AppendTo)
		}},
		"scattered bitfields": {true, func(ch *protomux.Channel, i int) {
			m := wire.Bitfield{Start: rng.Uint64N(1<<45) &^ 31, Bits: []byte{1, 0, 0, 0}}
			send(ch, wire.TypeBitfield, m.AppendTo)
		}},
		"wants without reading": {false, func(ch *protomux.Channel, i int) {
			m := wire.Want{Start: uint64(i) << 21, Length: 1 << 21}
			send(ch, wire.TypeWant, m.AppendTo)
		}},
		"requests without reading": {false, func(ch *protomux.Channel, i int) {
			m := wire.Request{ID: uint64(i), Request: merkle.Request{Block: &merkle.BlockRequest{Index: uint64(i % 60)}}}
			send(ch, wire.TypeRequest, m.AppendTo)
		}},
		"rising forks": {true, func(ch *protomux.Channel, i int) {
			m := wire.Sync{Fork: uint64(i), Length: 1 << 40, CanUpgrade: true, Uploading: true, Downloading: true}
			send(ch, wire.TypeSync, m.AppendTo)
		}},
		"evidence of nothing": {true, func(ch *protomux.Channel, i int) {
			q := &wire.Request{Request: merkle.Request{Upgrade: &merkle.UpgradeRequest{Length: 60}}}
			d := honest.honest(q)
			d.Request = 0
			d.Upgrade.Signature = make([]byte, 64<<10)
			send(ch, wire.TypeData, d.AppendTo)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := reader(t, w, nil)
			x, y := newPipe()
			gate := &encounter{end: x, blocked: make(chan struct{})}
			hostile, m := protomux.New(&gated{pipeEnd: x, e: gate}, nil), protomux.New(y, nil)
			s := &stranger{t: t, a: &arena{w: w}}
			gate.m = hostile
			opened := make(chan *protomux.Channel, 1)
			dk := w.DiscoveryKey()
			hostile.Pair(wire.Protocol, dk[:], func([]byte) {
				s.open(gate)
				opened <- gate.ch
			})
			if err := r.Replicate(m); err != nil {
				t.Fatal(err)
			}
			before := heap()
			done := []<-chan struct{}{runMux(hostile), runMux(m)}
			ch := <-opened
			if !flood.reads {
				gate.mu.Lock()
				gate.blocked = nil
				gate.mu.Unlock()
			}
			count := n
			if name == "evidence of nothing" {
				count = n / 100
			}
			for i := range count {
				flood.one(ch, i)
				if i == count/2 {
					if grown := heap() - before; grown > most {
						t.Errorf("%d MiB in the middle", grown>>20)
					}
				}
			}
			_ = hostile.Flush(timeout(t)) // it may have been thrown out
			if grown := heap() - before; grown > most {
				t.Errorf("%d MiB at the end", grown>>20)
			}
			r.log.repl.mu.Lock()
			for _, p := range r.log.repl.peers {
				if len(p.inflight) > 10 || len(p.parked) > maxParked || len(p.parkedWants) > maxWants || p.bits.Pages() > maxPages {
					t.Errorf("%d in flight, %d and %d parked, %d pages", len(p.inflight), len(p.parked), len(p.parkedWants), p.bits.Pages())
				}
			}
			r.log.repl.mu.Unlock()
			hostile.Close()
			for _, d := range done {
				<-d
			}
			// Others are served as before.
			stop := join(t, w, r)
			defer stop()
			settled(t, r, w)
			if err := r.Download(Range{}).Wait(timeout(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTooManyUnreadRequestsEndTheConnection(t *testing.T) {
	w := openCore(t, openDB(t), &Options{KeyPair: seeded(1)})
	mustAppend(t, w, make([]byte, 1<<20))
	x, y := newPipe()
	gate := &encounter{end: x, blocked: make(chan struct{})}
	hostile, m := protomux.New(&gated{pipeEnd: x, e: gate}, nil), protomux.New(y, nil)
	gate.m = hostile
	s := &stranger{t: t, a: &arena{w: w}}
	opened := make(chan *protomux.Channel, 1)
	dk := w.DiscoveryKey()
	hostile.Pair(wire.Protocol, dk[:], func([]byte) {
		s.open(gate)
		opened <- gate.ch
	})
	if err := w.Replicate(m); err != nil {
		t.Fatal(err)
	}
	done := []<-chan struct{}{runMux(hostile), runMux(m)}
	ch := <-opened
	gate.mu.Lock()
	gate.blocked = nil
	gate.mu.Unlock()
	for i := range 3 * maxParked {
		q := wire.Request{ID: uint64(i), Request: merkle.Request{Block: &merkle.BlockRequest{}}}
		ch.SendFunc(wire.TypeRequest, 16, q.AppendTo)
	}
	select {
	case <-done[1]:
	case <-time.After(2 * time.Minute):
		t.Fatal("still connected")
	}
	hostile.Close()
	<-done[0]
}
