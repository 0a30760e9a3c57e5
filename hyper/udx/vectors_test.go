package udx_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tradle/cloudpal/hyper/internal/simnet"
	"github.com/tradle/cloudpal/hyper/internal/udpio"
	"github.com/tradle/cloudpal/hyper/udx"
)

// captured is a packet that udx-native sent.
type captured struct {
	Dir     string
	Bytes   int
	Lost    bool
	Hex     string
	Decoded struct {
		Type, DataOffset, Seq int
	}
}

func scenarios(t *testing.T) map[string][]captured {
	t.Helper()
	text, err := os.ReadFile("testdata/net-udx.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Scenarios map[string]json.RawMessage }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]captured)
	for name, raw := range file.Scenarios {
		var list []captured
		if json.Unmarshal(raw, &list) != nil {
			var inner struct{ Packets, Probes []captured }
			if err := json.Unmarshal(raw, &inner); err != nil {
				t.Fatal(name, err)
			}
			list = append(inner.Packets, inner.Probes...)
		}
		all[name] = list
	}
	if len(all) < 7 {
		t.Fatalf("only %d scenarios", len(all))
	}
	return all
}

// bytes returns the packet. What the file cuts off repeats the last byte.
func (c *captured) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimSuffix(c.Hex, "..."))
	if err != nil {
		t.Fatal(err)
	}
	for len(b) < c.Bytes {
		b = append(b, b[len(b)-1])
	}
	return b
}

// What we send is what udx-native sent in our place, but for the window, where
// we tell the truth.
func TestSendsWhatUDXNativeSends(t *testing.T) {
	all := scenarios(t)
	for _, c := range []struct{ name, side string }{
		{"data message end", "A"}, {"data message end", "B"},
		{"write then end in one tick", "A"}, {"write then end in one tick", "B"},
		{"destroy", "A"}, {"destroy", "B"},
		{"two losses and sack", "B"},
		{"only packet lost", "A"},
		{"keepalive 50ms", "A"}, {"keepalive 50ms", "B"},
	} {
		t.Run(c.name+" "+c.side, func(t *testing.T) {
			list := all[c.name]
			if len(list) == 0 {
				t.Fatal("no such scenario")
			}
			synctest.Test(t, func(t *testing.T) { replay(t, c.name, c.side, list) })
		})
	}
}

func replay(t *testing.T, name, side string, list []captured) {
	const a, b = 0x11111111, 0x22222222
	ids := map[string]uint32{"A": a, "B": b}
	n := simnet.New(1)
	defer n.Close()
	host, far := n.Host(netip.MustParseAddr("1.0.0.1")), n.Host(netip.MustParseAddr("1.0.0.2"))
	puppet, err := far.Listen(netip.MustParseAddrPort("1.0.0.2:2"))
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan []byte, 100)
	go func() {
		for {
			ds, err := puppet.ReadBatch()
			if err != nil {
				return
			}
			for _, d := range ds {
				sent <- bytes.Clone(d.Data)
			}
		}
	}()
	defer puppet.Close()
	tr := udx.NewTransport(&udx.Options{Listen: host.Listen})
	defer tr.Close()
	sock, err := tr.Listen(netip.MustParseAddrPort("1.0.0.1:1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &udx.StreamOptions{}
	if name == "keepalive 50ms" && side == "A" {
		o.KeepAlive = 50 * time.Millisecond
	}
	st, err := tr.NewStreamID(ids[side], o)
	if err != nil {
		t.Fatal(err)
	}
	connect := func() {
		if err := st.Connect(sock, a+b-ids[side], puppet.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	if name != "write then end in one tick" || side == "B" {
		connect()
	}
	done := map[int]bool{} // packets with a number that were asked for
	for i := range list {
		c := &list[i]
		want := c.bytes(t)
		if c.Dir[:1] != side {
			if !c.Lost {
				puppet.WriteBatch([]udpio.Datagram{{Data: want, Addr: sock.LocalAddr()}})
			}
			synctest.Wait()
			continue
		}
		switch {
		case c.Decoded.Type == 8:
			st.SendMessage(want[20:])
		case c.Decoded.Type == 16:
			st.Close()
		case c.Decoded.Type&3 != 0 && !done[c.Decoded.Seq]:
			done[c.Decoded.Seq] = true
			if c.Decoded.Type&1 != 0 {
				st.Write(want[20:])
			}
			if c.Decoded.Type&2 != 0 {
				st.CloseWrite()
			}
		}
		if st.RemoteAddr() == nil {
			connect()
		}
		select {
		case got := <-sent:
			copy(got[8:12], want[8:12])
			if !bytes.Equal(got, want) {
				t.Fatalf("packet %d: sent\n%x, want\n%x", i, got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("packet %d: nothing was sent, want %x", i, want)
		}
	}
	synctest.Wait()
	if len(sent) > 0 && o.KeepAlive == 0 {
		t.Errorf("sent one more packet: %x", <-sent)
	}
}
