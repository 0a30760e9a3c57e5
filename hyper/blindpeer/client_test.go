package blindpeer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/protomux"
)

func containsText(b []byte, text string) bool { return bytes.Contains(b, []byte(text)) }

func TestEverybodyChoosesTheSameMirrors(t *testing.T) {
	var keys []hypercrypto.PublicKey
	for i := range byte(10) {
		keys = append(keys, hypercrypto.PublicKey{i * 16})
	}
	target := hypercrypto.Key{0x31}
	want := []hypercrypto.PublicKey{{0x30}, {0x20}}
	for range 5 {
		if got := closest(target, keys, 0); !slices.Equal(got, want) {
			t.Errorf("chose %v, want %v", got, want)
		}
		keys = append(keys[3:], keys[:3]...)
	}
	if got := closest(target, keys[:1], 5); len(got) != 1 {
		t.Errorf("chose %v", got)
	}
	if got := closest(target, nil, 1); len(got) != 0 {
		t.Errorf("chose %v", got)
	}
}

func TestClientComesBackToTheMirror(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	var mu sync.Mutex
	var states []bool
	c := a.log("x", 3, 10)
	k := a.keep(c, Subject{OnMirror: func(_ hypercrypto.PublicKey, reached bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(states) == 0 || states[len(states)-1] != reached {
			states = append(states, reached)
		}
	}}, m)
	m.holds(c)
	a.offline()
	if k.Mirrors()[m.KeyPair().Public] {
		t.Error("reached without a connection")
	}
	if _, err := c.Append(t.Context(), []byte("meanwhile")); err != nil {
		t.Fatal(err)
	}
	a.connect(m)
	m.holds(c)
	eventually(t, "reached again", func() bool { return k.Mirrors()[m.KeyPair().Public] })
	var told []bool
	eventually(t, "told three times", func() bool {
		mu.Lock()
		defer mu.Unlock()
		told = slices.Clone(states)
		return len(told) >= 3
	})
	if !slices.Equal(told, []bool{true, false, true}) {
		t.Errorf("states %v", told)
	}
}

func TestMirrorHearsOfLogsThatComeLater(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1).knows(m)
	var mu sync.Mutex
	logs := []*hypercore.Core{a.log("x", 3, 10)}
	k, err := a.Keep(Subject{Mirrors: []hypercrypto.PublicKey{m.KeyPair().Public}, Logs: func() (list []Log) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range logs {
			list = append(list, Log{c.Key(), c.Length()})
		}
		return list
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	m.holds(logs[0])
	c := a.log("y", 3, 10)
	mu.Lock()
	logs = append(logs, c)
	mu.Unlock()
	k.Update()
	k.Update()
	m.holds(c)
	if n := m.Stats().Orders; n != 2 {
		t.Errorf("%d orders", n)
	}
}

func TestMirrorIsLeftWithTheLastSubject(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	x, y := a.log("x", 1, 1), a.log("y", 1, 1)
	k, l := a.keep(x, Subject{}, m), a.keep(y, Subject{}, m)
	m.holds(x)
	m.holds(y)
	joined := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.joined[m.KeyPair().Public]
	}
	k.Close()
	if !joined() {
		t.Error("left too early")
	}
	l.Close()
	l.Close()
	if joined() {
		t.Error("not left")
	}
}

// hostile sends frames of a client that keeps to no rule.
func TestServerSurvivesHostileClients(t *testing.T) {
	m := startMirror(t, nil)
	for i, raw := range [][]byte{nil, {0xff}, bytes.Repeat([]byte{0xff}, 100), append([]byte{0, 0xfd, 0xff, 0xff}, make([]byte, 40)...)} {
		d := newDevice(t, byte(10+i)).knows(m)
		for _, id := range [][]byte{nil, m.keyPair.Public[:]} {
			mux := d.connect(m)
			name := protocol
			if id != nil {
				name = rpcProtocol
			}
			ch, err := mux.Open(protomux.ChannelOptions{Protocol: name, ID: id})
			if err != nil {
				t.Fatal(err)
			}
			for typ := range 3 {
				ch.Send(typ, raw)
			}
			d.offline()
		}
	}
	a := newDevice(t, 1)
	c := a.log("x", 3, 10)
	a.keep(c, Subject{}, m)
	m.holds(c)
}

// Somebody who does not know the key of a base does not hear of its logs.
func TestWakeupNeedsTheKey(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	base := hypercrypto.Key{9}
	c := a.log("x", 3, 10)
	a.keep(c, Subject{Referrer: &base}, m)
	m.holds(c)
	heard := make(chan []Log, 10)
	ask := func(d *device, proof bool) *protomux.Mux {
		mux := d.knows(m).connect(m)
		dk := base.Discovery()
		hello := []byte{0}
		if proof {
			p := wakeupProof(mux.Stream(), base, true)
			hello = append(hello, p[:]...)
		} else {
			hello = append(hello, make([]byte, 32)...)
		}
		closed := make(chan struct{})
		_, err := mux.Open(protomux.ChannelOptions{Protocol: wakeupProtocol, ID: dk[:], Handshake: append(hello, 1),
			Messages: []func(*protomux.Channel, []byte) error{nil, func(_ *protomux.Channel, b []byte) error {
				logs, err := decodeLogs(b)
				heard <- logs
				return err
			}},
			OnClose: func(*protomux.Channel, bool) { close(closed) }})
		if err != nil {
			t.Fatal(err)
		}
		if !proof {
			<-closed
		}
		return mux
	}
	ask(newDevice(t, 2), false)
	if len(heard) > 0 {
		t.Error("told to a stranger")
	}
	ask(newDevice(t, 3), true)
	if logs := <-heard; len(logs) != 1 || logs[0] != (Log{c.Key(), 3}) {
		t.Errorf("heard %v", logs)
	}
	// Growth is told to those who do not exchange the log.
	if _, err := c.Append(t.Context(), []byte("more")); err != nil {
		t.Fatal(err)
	}
	logs := <-heard
	if len(logs) == 1 && logs[0] == (Log{c.Key(), 3}) { // that it grew before
		logs = <-heard
	}
	if len(logs) != 1 || logs[0] != (Log{c.Key(), 4}) {
		t.Errorf("heard %v", logs)
	}
}

// What there is to tell a mirror may have to come from it first.
func TestConnectionRunsWhileLogsAreLookedFor(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.log("x", 3, 10)
	var wait atomic.Bool
	ctx, reached := context.WithTimeout(context.Background(), time.Minute)
	defer reached()
	k, err := a.Keep(Subject{
		Mirrors: []hypercrypto.PublicKey{m.KeyPair().Public},
		Logs: func() []Log {
			if wait.Load() {
				<-ctx.Done()
			}
			return []Log{{c.Key(), c.Length()}}
		},
		OnMirror: func(_ hypercrypto.PublicKey, yes bool) {
			if yes {
				reached()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	wait.Store(true)
	a.knows(m)
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("the mirror is not reached")
	}
	m.holds(c)
}

// slowConnector takes its time to leave a peer.
type slowConnector struct {
	leaving, release chan struct{}
	joined           atomic.Bool
}

func (s *slowConnector) JoinPeer(hypercrypto.PublicKey) { s.joined.Store(true) }

func (s *slowConnector) LeavePeer(hypercrypto.PublicKey) {
	close(s.leaving)
	<-s.release
	s.joined.Store(false)
}

func TestMirrorThatIsWantedAgainWhileItIsLeftIsJoined(t *testing.T) {
	s := &slowConnector{leaving: make(chan struct{}), release: make(chan struct{})}
	c := NewClient(s)
	defer c.Close()
	leave, err := c.Reach(hypercrypto.PublicKey{1})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(leave)
	<-s.leaving
	reached := make(chan struct{})
	wg.Go(func() {
		defer close(reached)
		if _, err := c.Reach(hypercrypto.PublicKey{1}); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-reached:
	case <-time.After(100 * time.Millisecond): // it may wait until the peer is left
	}
	close(s.release)
	wg.Wait()
	if !s.joined.Load() {
		t.Error("it is not joined")
	}
}
