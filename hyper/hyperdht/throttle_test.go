package hyperdht

import (
	"sync/atomic"
	"testing"

	"github.com/tradle/cloudpal/hyper/internal/simnet"
)

// scale counts the bytes that are asked for. It does not wait: who waits holds a lock,
// which stops the clock of a simulated world.
type scale struct{ bytes atomic.Int64 }

func (s *scale) Step() int { return 1000 }

func (s *scale) Wait(n int, _ <-chan struct{}) { s.bytes.Add(int64(n)) }

// Direct and relayed connections ask for every byte, in both directions.
func TestConnectionsAskTheirLimits(t *testing.T) {
	for _, relayed := range []bool{false, true} {
		inWorld(t, 12, func(w *world) {
			up, down := &scale{}, &scale{}
			sd, d := w.pair(simnet.Cone, simnet.Cone)
			d.o.Outgoing, d.o.Incoming = up, down
			s := w.echo(sd, nil)
			var o ConnectOptions
			if relayed {
				key := w.relay(w.dhts[4])
				o = ConnectOptions{RelayThrough: &key, OnlyRelay: true}
			}
			c := w.connect(d, s, &o)
			if (c.Path() == PathRelayed) != relayed {
				t.Errorf("the path is %v", c.Path())
			}
			w.check(c) // 50,000 bytes there and back
			if u, d := up.bytes.Load(), down.bytes.Load(); u < 50_000 || u > 52_000 || d < 50_000 || d > 80_000 {
				t.Errorf("relayed %v: %d bytes up, %d down", relayed, up.bytes.Load(), down.bytes.Load())
			}
			c.Close()
		})
	}
}
