package autobase

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
	"github.com/tradle/cloudpal/hyper/secretstream"
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

func TestLogsAreAnnouncedAgain(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	type look struct {
		at     time.Duration
		length uint64
		open   bool
		due    bool
	}
	for name, looks := range map[string][]look{
		"closed": {
			{0, 1, false, true}, {time.Millisecond, 1, false, false}, {time.Second, 1, false, true}, {2 * time.Second, 1, false, false},
			{3 * time.Second, 1, false, true}, {4 * time.Second, 2, false, true}, {5 * time.Second, 2, false, true},
		},
		"open": {
			{0, 1, true, false}, {500 * time.Millisecond, 2, true, false}, {time.Second, 3, true, true}, {1500 * time.Millisecond, 3, true, false},
			{3 * time.Second, 3, true, true}, {4 * time.Second, 4, true, false}, {5 * time.Second, 4, true, true},
		},
		"put away":  {{0, 1, true, false}, {time.Millisecond, 1, false, true}, {2 * time.Millisecond, 1, false, false}, {3 * time.Millisecond, 1, true, false}},
		"for hours": {{0, 1, false, true}, {time.Hour, 1, false, true}, {2 * time.Hour, 1, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var told told
			for i, l := range looks {
				if due := told.due(l.length, l.open, at(l.at)); due != l.due {
					t.Fatalf("look %d: due %v", i, due)
				}
				if wait := told.again.Sub(at(l.at)); wait <= 0 || wait > announceSeldom {
					t.Fatalf("look %d: again in %v", i, wait)
				}
			}
		})
	}
}

// A peer may hear of the base after the connection was made, put it away and take it
// up again: whenever it opens the channel it is answered, as long as the base is open.
func TestPeersThatComeLaterAreHeard(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := newPeers(t, 1, Options{})
	b := p.bases[0]
	near, far := net.Pipe()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() {
		if c, err := secretstream.Client(ctx, near, nil); err == nil {
			b.Replicate(ctx, c)
		}
	})
	c, err := secretstream.Server(ctx, far, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := protomux.New(c, nil)
	tasks.Go(func() { m.Run(ctx) })
	defer m.Close()
	key := b.Key()
	open := func() (ch *protomux.Channel, heard, closed <-chan struct{}) {
		t.Helper()
		dk, own := key.Discovery(), wakeupCapability(c, key, c.IsInitiator())
		hs := append(compact.AppendUint(nil, 0), own[:]...)
		opened, ended := make(chan struct{}), make(chan struct{})
		ch, err := m.Open(protomux.ChannelOptions{
			Protocol: wakeupProtocol, ID: dk[:], Handshake: compact.AppendUint(hs, 1),
			OnOpen:  func(*protomux.Channel, []byte) error { close(opened); return nil },
			OnClose: func(*protomux.Channel, bool) { close(ended) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return ch, opened, ended
	}
	wait := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
	// The first open of the base finds nobody.
	idle, _, ended := open()
	idle.Close()
	wait("the channel is not closed", ended)
	for range 3 {
		ch, heard, ended := open()
		wait("the base does not answer", heard)
		ch.Close()
		wait("the channel is not closed", ended)
	}
	b.Close()
	_, _, ended = open()
	wait("a closed base answers", ended)
}
