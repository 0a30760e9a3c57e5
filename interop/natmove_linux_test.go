package interop

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// move gives a router another outer address. What it knew of connections is gone.
func (l *lab) move(router string, from, to int) {
	l.t.Helper()
	l.in(router, fmt.Sprintf("ip addr del 203.0.113.%d/24 dev pub0", from))
	l.in(router, fmt.Sprintf("ip addr add 203.0.113.%d/24 dev pub0", to))
}

// A stream outlives a new address of a router, twice: if the server can be reached
// and is ours, whatever the client is; between two routers that let in answers
// only, if both sides are ours. Where JavaScript takes part otherwise the stream
// ends after a while, as JavaScript's own do: its servers go on sending to the old
// address, and its clients do not punch again. Then the client connects anew.
func TestNATLabStreamSurvivesNewAddress(t *testing.T) {
	var mu sync.Mutex
	var times figures
	t.Run("moves", func(t *testing.T) {
		for _, c := range []struct {
			server, client, mover string
			survives              func(pair) bool
		}{
			{"forward", "cone", "rb", func(p pair) bool { return !p.serverJS }},
			{"cone", "cone", "rb", func(p pair) bool { return p == pair{} }},
			{"cone", "cone", "ra", func(p pair) bool { return p == pair{} }},
		} {
			name := c.server + " / " + c.client + ", " + map[string]string{"ra": "server", "rb": "client"}[c.mover] + " moves"
			for _, p := range pairs {
				t.Run(name+" "+p.String(), func(t *testing.T) {
					t.Parallel()
					l := newLab(t, c.server, c.client)
					server := l.open("a", p.serverJS)
					key := server.Call(t, "listen", nil).Str("publicKey")
					client := l.open("b", p.clientJS)
					const step = 400_000
					talk := client.Go("talk", Args{"key": key, "bytes": 3 * step})
					address, survived := int(c.mover[1]-'a')+11, true
					var began time.Time
					for i := range 2 {
						_, err := client.Wait(func(e Event) bool {
							return e.Str("event") == "talk" && e.Num("bytes") >= uint64(i+1)*step/2 || e.Str("error") != ""
						})
						if err != nil {
							t.Fatal(err)
						}
						l.move(c.mover, address, address+10)
						address += 10
						if began = time.Now(); !c.survives(p) {
							break
						}
					}
					reply, err := talk.Result()
					survived = err == nil
					outcome := fmt.Sprintf("on, %.1f", time.Since(began).Seconds())
					if !survived {
						outcome = fmt.Sprintf("ends, %.1f", time.Since(began).Seconds())
					}
					mu.Lock()
					times.set(name, p, outcome)
					mu.Unlock()
					t.Log(outcome, err, reply)
					if !survived && c.survives(p) {
						t.Fatalf("%v\n%s\n%s", err, client.Log(), server.Log())
					}
					// A JavaScript server does not notice that its relays know the old
					// address only, until it announces itself again after five minutes.
					if survived || p.theirs() || p.serverJS && c.mover == "ra" {
						return
					}
					began = time.Now()
					if _, err = client.Go("talk", Args{"key": key, "bytes": step}).Result(); err != nil {
						t.Fatalf("connecting anew: %v\n%s\n%s", err, client.Log(), server.Log())
					}
					t.Logf("anew after %v", time.Since(began))
				})
			}
		}
	})
	times.log(t, "a router gets another address in mid-stream: does it go on, or end, and after how many seconds")
}

// A transfer between two routers that let in answers only goes on where it was
// when one of them gets another address.
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
