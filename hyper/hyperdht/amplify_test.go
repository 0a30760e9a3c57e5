package hyperdht

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/internal/dhtrpc"
)

// A source that proved nothing makes a node send one packet for each of its
// packets at most, whatever it says; one that is passed on to somebody else is
// hardly larger than what came. (The size of answers is fixed by the protocol: 20
// nodes, and the value asked for.) What a node has sent itself, sent back to it,
// makes it send nothing.
func TestUnverifiedSourcesAreNotAmplified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, _, s := storingNode(t, nil)
		from, victim := netip.MustParseAddrPort("10.9.9.9:4000"), netip.MustParseAddrPort("10.7.7.7:7")
		target := dhtrpc.ID{1, 2, 3}
		var answers [][]byte
		send := func(what string, packet []byte) {
			t.Helper()
			s.sent = nil
			node.HandlePacket(s, packet, from)
			synctest.Wait()
			if len(s.sent) > 1 {
				t.Errorf("%s: %d packets out", what, len(s.sent))
			}
			for _, p := range s.sent {
				if len(p.b) > dhtrpc.MaxPacket {
					t.Errorf("%s: a packet of %d bytes", what, len(p.b))
				}
				if p.to != from && len(p.b) > len(packet)+40 {
					t.Errorf("%s: %d bytes in, %d out to %v", what, len(packet), len(p.b), p.to)
				}
				answers = append(answers, p.b)
			}
		}
		h := handshake{noise: make([]byte, 300), peer: victim, relay: victim}
		p := holepunch{payload: make([]byte, 300), peer: victim}
		values := [][]byte{nil, make([]byte, 500), compact.AppendIPv4Address(nil, victim), compact.AppendUint16(nil, 7)}
		for mode := range uint64(5) {
			h.mode, p.mode = mode, mode
			values = append(values, h.appendTo(nil), p.appendTo(nil))
		}
		for _, token := range []*[32]byte{nil, {1}} {
			for command := range byte(12) {
				for _, value := range values {
					b := request(1, s.addr, command, target, token, value)
					send("command", b)
					b[1] |= 4
					send("internal command", b)
				}
			}
		}
		if len(answers) < 20 {
			t.Fatalf("%d answers", len(answers))
		}
		for _, b := range answers {
			if b[0] != 0x13 {
				continue // a request that was passed on
			}
			s.sent = nil
			node.HandlePacket(s, b, from)
			synctest.Wait()
			if len(s.sent) > 0 {
				t.Fatalf("an answer sent back makes %d packets", len(s.sent))
			}
		}
	})
}
