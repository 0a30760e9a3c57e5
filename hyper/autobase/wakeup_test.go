package autobase

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

// handshook is a stream that only has a handshake behind it.
type handshook struct {
	protomux.Stream
	hash [64]byte
}

func (h handshook) HandshakeHash() [64]byte { return h.hash }

// The values are from net-relay.json, made by protomux-wakeup 2.9.0.
func TestWakeupOfTheOtherStack(t *testing.T) {
	var v struct {
		Wakeup struct {
			Protocol, Capability, DiscoveryKey, HandshakeHash string
			ProofOfInitiator, ProofOfResponder, Announce      string
		}
	}
	b, err := os.ReadFile("testdata/net-relay-wakeup.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w := v.Wakeup
	key := hypercrypto.Key(raw(w.Capability))
	if w.Protocol != wakeupProtocol || key.Discovery().String() != w.DiscoveryKey {
		t.Errorf("channel %s, %v", w.Protocol, key.Discovery())
	}
	s := handshook{hash: [64]byte(raw(w.HandshakeHash))}
	if p := wakeupCapability(s, key, true); p.String() != w.ProofOfInitiator {
		t.Errorf("initiator %v", p)
	}
	if p := wakeupCapability(s, key, false); p.String() != w.ProofOfResponder {
		t.Errorf("responder %v", p)
	}
	refs, err := decodeAnnouncement(raw(w.Announce))
	if err != nil || len(refs) != 1 || refs[0].Length != 300 {
		t.Errorf("announcement %+v, %v", refs, err)
	}
	if got := hex.EncodeToString(appendAnnouncement(nil, refs)); got != w.Announce {
		t.Errorf("announcement written again: %s", got)
	}
}
