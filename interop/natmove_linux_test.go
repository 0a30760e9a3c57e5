package interop

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// move gives a router another outer address. What it knew of connections is gone.
func (l *lab) move(router string, from, to int) {
	l.t.Helper()
	l.in(router, fmt.Sprintf("ip addr del 203.0.113.%d/24 dev pub0", from))
	l.in(router, fmt.Sprintf("ip addr add 203.0.113.%d/24 dev pub0", to))
}

// A stream to a server that can be reached outlives a new address of the client's
// router, twice, whatever the client is. (A JavaScript server goes on sending to
// the old address: its client has to connect again.)
func TestNATLabStreamSurvivesNewAddress(t *testing.T) {
	for _, clientJS := range []bool{false, true} {
		t.Run("Go server "+kind(clientJS)+" client", func(t *testing.T) {
			l := newLab(t, "forward", "cone")
			key := l.open("a", false).Call(t, "listen", nil).Str("publicKey")
			client := l.open("b", clientJS)
			const step = 400_000
			talk := client.Go("talk", Args{"key": key, "bytes": 3 * step})
			for i, to := range []int{22, 23} {
				client.Next(t, "some bytes", func(e Event) bool { return e.Str("event") == "talk" && e.Num("bytes") >= uint64(i+1)*step/2 })
				l.move("rb", []int{12, 22}[i], to)
			}
			began := time.Now()
			reply, err := talk.Result()
			if err != nil {
				t.Fatalf("%v\n%s", err, client.Log())
			}
			t.Logf("the rest came in %v: %v", time.Since(began), reply)
		})
	}
}

// Behind two routers that let in answers only nobody can tell the other about a
// new address on the stream: the swarm punches a new hole, and the transfer goes
// on where it was.
func TestNATLabTransferResumesAtNewAddress(t *testing.T) {
	for _, mover := range []string{"ra", "rb"} {
		t.Run(mover, func(t *testing.T) {
			l := newLab(t, "cone", "cone")
			b := newProgram(t)
			homes := t.TempDir()
			src, big := folder(t, 30<<20)
			share := b.cloudpal(l.ns("a"), filepath.Join(homes, "a"), l.boot[0], "share", src)
			link := share.said(t, "shared").Str("link")
			out := filepath.Join(t.TempDir(), "out")
			get := b.cloudpal(l.ns("b"), filepath.Join(homes, "b"), l.boot[0], "get", link, out, "--timeout", "3m")
			at := get.Next(t, "some progress", func(e Event) bool {
				return e.Str("type") == "progress" && e.Str("phase") == "download" && e.Num("bytes") > 2<<20
			}).Num("bytes")
			if mover == "ra" {
				l.move("ra", 11, 21)
			} else {
				l.move("rb", 12, 22)
			}
			began := time.Now()
			get.said(t, "got")
			get.ends(t)
			t.Logf("the address changed after %d bytes, the rest came in %v", at, time.Since(began))
			wantFile(t, filepath.Join(out, "big.bin"), big)
		})
	}
}
