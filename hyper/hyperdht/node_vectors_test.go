package hyperdht

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// sink is a socket that remembers what is sent.
type sink struct {
	addr netip.AddrPort
	sent []sentPacket
}

type sentPacket struct {
	b  []byte
	to netip.AddrPort
}

func (s *sink) LocalAddr() netip.AddrPort { return s.addr }

func (s *sink) Send(b []byte, to netip.AddrPort) error {
	s.sent = append(s.sent, sentPacket{slices.Clone(b), to})
	return nil
}

// storingNode returns a persistent node that answers into a sink.
func storingNode(t testing.TB, secrets *[2][32]byte) (*dhtrpc.Node, *store, *sink) {
	rt := newRouter(Limits{}.withDefaults())
	st := newStore(rt, Limits{}.withDefaults())
	addr := netip.MustParseAddrPort("10.0.0.1:49737")
	st.node = dhtrpc.New(dhtrpc.Options{Role: Persistent, Reach: Open, Addr: addr, TokenSecrets: secrets, Handler: func(r *dhtrpc.Request) bool {
		switch r.Command {
		case cmdHandshake:
			rt.handleHandshake(r)
		case cmdHolepunch:
			rt.handleHolepunch(r)
		default:
			return st.handle(r)
		}
		return true
	}})
	s := &sink{addr: addr}
	st.node.Start(s, s)
	<-st.node.Ready()
	t.Cleanup(func() { st.node.Close() })
	return st.node, st, s
}

// sortCloser returns a packet with the four nodes it names in a fixed order:
// JavaScript names them in that of its table, we the nearest first.
func sortCloser(b []byte) string {
	b = slices.Clone(b)
	if i := bytes.Index(b, []byte{4, 10, 0, 0}); i >= 0 && len(b) >= i+25 {
		var chunks []string
		for k := range 4 {
			chunks = append(chunks, string(b[i+1+6*k:i+7+6*k]))
		}
		slices.Sort(chunks)
		copy(b[i+1:], strings.Join(chunks, ""))
	}
	return hex.EncodeToString(b)
}

// A node gives the same bytes as a JavaScript node to the same requests.
func TestNodeAnswersVectors(t *testing.T) {
	var v struct {
		Secrets [2]string
		Cases   []struct {
			Name     string
			From     addrJSON
			Request  struct{ Hex string }
			Response *struct {
				To  addrJSON
				Hex string
			}
		}
	}
	load(t, "net-dht-rpc.json", &v)
	synctest.Test(t, func(t *testing.T) {
		secrets := [2][32]byte{[32]byte(unhex(t, v.Secrets[0])), [32]byte(unhex(t, v.Secrets[1]))}
		node, _, s := storingNode(t, &secrets)
		for i := range 4 {
			node.AddNode(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i)}), 49737))
		}
		for _, c := range v.Cases {
			s.sent = nil
			node.HandlePacket(s, unhex(t, c.Request.Hex), c.From.addr())
			if c.Name == "delayed_ping" {
				continue // the answer, that of ping, comes later, and the clock stands still
			}
			synctest.Wait()
			sent := slices.DeleteFunc(s.sent, func(p sentPacket) bool { return p.b[0] != 0x13 })
			switch {
			case c.Response == nil && len(sent) == 0:
			case c.Response == nil || len(sent) != 1:
				t.Errorf("%s: %d answers", c.Name, len(sent))
			case sent[0].to != c.Response.To.addr() || sortCloser(sent[0].b) != sortCloser(unhex(t, c.Response.Hex)):
				t.Errorf("%s: to %v\n%x, want to %v\n%s", c.Name, sent[0].to, sent[0].b, c.Response.To.addr(), c.Response.Hex)
			}
		}
	})
}
