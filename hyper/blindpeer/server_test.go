package blindpeer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestLogIsKeptAndServedWithoutItsWriter(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.log("x", 20, 100)
	a.keep(c, Subject{}, m)
	m.holds(c)
	// It follows what is appended.
	if _, err := c.Append(t.Context(), []byte("later")); err != nil {
		t.Fatal(err)
	}
	m.holds(c)
	a.offline()
	m.reads(2, c)
	r, _ := m.Record(c.Key())
	if r.Bytes != 20*100+5 || r.Priority != PriorityLow || r.Announce || r.Referrer != nil {
		t.Errorf("record %+v", r)
	}
	if s := m.Stats(); s.Logs != 1 || s.Clients != 1 || s.Added != 1 || s.Bytes != r.Bytes+21*blockCost+recordCost {
		t.Errorf("stats %+v", s)
	}
}

func TestLogThatNobodyAskedForIsNotKept(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1).knows(m)
	kept, other := a.log("kept", 3, 10), a.log("other", 3, 10)
	a.keep(kept, Subject{}, m)
	m.holds(kept)
	if _, ok := m.Record(other.Key()); ok {
		t.Error("another log is kept too")
	}
	if _, err := m.store.DB().Core(other.DiscoveryKey()); err == nil {
		t.Error("another log is stored")
	}
}

func TestMirrorGoesOnAfterRestart(t *testing.T) {
	o := &Options{}
	m := startMirror(t, o)
	a := newDevice(t, 1)
	c := a.log("x", 20, 100)
	k := a.keep(c, Subject{Priority: PriorityNormal, Referrer: ptr(c.Key())}, m)
	m.holds(c)
	a.offline()
	before, _ := m.Record(c.Key())
	sum := m.Stats().Bytes
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMirror(t, m.dir, o)
	after, ok := m.Record(c.Key())
	if !ok || after.Length != 20 || after.Bytes != before.Bytes || after.Priority != PriorityNormal || *after.Referrer != c.Key() || !after.Updated.Equal(before.Updated.Truncate(1e6)) {
		t.Errorf("%+v becomes %+v", before, after)
	}
	if s := m.Stats(); s.Bytes != sum || s.Bases != 1 {
		t.Errorf("stats %+v, want %d bytes", s, sum)
	}
	m.reads(2, c)
	// The writer comes back with more.
	if _, err := c.Append(t.Context(), []byte("later")); err != nil {
		t.Fatal(err)
	}
	a.knows(m)
	m.holds(c)
	k.Close()
}

func ptr[T any](v T) *T { return &v }

// A log that the mirror has in part is completed by whoever has more, also if
// nobody asks for it anew.
func TestReaderBringsWhatTheMirrorMisses(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.log("x", 5, 100)
	a.keep(c, Subject{}, m)
	m.holds(c)
	a.offline()
	if _, err := c.Append(t.Context(), []byte("news")); err != nil {
		t.Fatal(err)
	}
	// The store offers the log on the connection; the client says nothing.
	a.Client.Close()
	a.connect(m)
	m.holds(c)
}

func TestOnlyTrustedKeysAnnounceAndDelete(t *testing.T) {
	trusted, stranger := newDevice(t, 1), newDevice(t, 2)
	var topics topics
	m := startMirror(t, &Options{Trusted: []hypercrypto.PublicKey{trusted.keyPair.Public}, Announce: topics.announce})
	c, d := trusted.log("x", 3, 10), stranger.log("y", 3, 10)
	trusted.knows(m)
	stranger.knows(m)
	ctx := patient(t)
	at := m.KeyPair().Public
	r, err := stranger.Add(ctx, at, d.Key(), AddOptions{Announce: true, Priority: 7})
	if err != nil || r.Announce || r.Priority != PriorityNormal || r.Key != d.Key() {
		t.Errorf("stranger: %+v, %v", r, err)
	}
	_, err = stranger.Client.Delete(ctx, at, d.Key())
	wantRefusal(t, err, "Only trusted peers can delete cores")
	m.holds(d)

	r, err = trusted.Add(ctx, at, c.Key(), AddOptions{Announce: true, Priority: 7, Referrer: ptr(d.Key())})
	if err != nil || !r.Announce || r.Priority != PriorityHigh || *r.Referrer != d.Key() {
		t.Errorf("trusted: %+v, %v", r, err)
	}
	m.holds(c)
	// Whether others are looked for changes: it is announced anew, and then once.
	eventually(t, "announced once", func() bool { return topics.count(c.DiscoveryKey()) == 1 })
	for i, want := range []bool{true, false} {
		existed, err := trusted.Client.Delete(ctx, at, c.Key())
		if err != nil || existed != want {
			t.Errorf("delete %d: %v, %v", i, existed, err)
		}
	}
	if _, ok := m.Record(c.Key()); ok || topics.count(c.DiscoveryKey()) != 0 {
		t.Error("it is still there")
	}
	if _, err := m.store.DB().Core(c.DiscoveryKey()); err == nil {
		t.Error("its log is still stored")
	}
	if s := m.Stats(); s.Deleted != 1 || s.Forgotten != 0 || s.Announced != 0 || s.Downgraded != 1 || s.Logs != 1 {
		t.Errorf("stats %+v", s)
	}
}

// topics counts announcements.
type topics struct {
	mu   sync.Mutex
	open map[hypercrypto.DiscoveryKey]int
}

func (n *topics) announce(topic hypercrypto.DiscoveryKey, seek bool) (leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		n.open = make(map[hypercrypto.DiscoveryKey]int)
	}
	n.open[topic]++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.open[topic]--
	}
}

func (n *topics) count(topic hypercrypto.DiscoveryKey) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open[topic]
}

func TestTrustedOnlyMirrorTakesNothingFromStrangers(t *testing.T) {
	owner, stranger := newDevice(t, 1), newDevice(t, 2)
	m := startMirror(t, &Options{Trusted: []hypercrypto.PublicKey{owner.keyPair.Public}, TrustedOnly: true})
	c, d := owner.log("x", 3, 10), stranger.log("y", 3, 10)
	owner.keep(c, Subject{}, m)
	m.holds(c)
	_, err := stranger.knows(m).Add(patient(t), m.KeyPair().Public, d.Key(), AddOptions{})
	wantRefusal(t, err, "Only trusted peers can add cores")
	stranger.keep(d, Subject{}, m)
	eventually(t, "refused twice", func() bool { return m.Stats().Refused == 2 })
	owner.offline()
	m.reads(3, c) // served to everybody who has the key
}

func TestAnnouncementSurvivesRestart(t *testing.T) {
	a := newDevice(t, 1)
	var topics topics
	o := &Options{Trusted: []hypercrypto.PublicKey{a.keyPair.Public}, Announce: topics.announce, MaxAnnounced: 1}
	m := startMirror(t, o)
	c, d := a.log("x", 3, 10), a.log("y", 3, 10)
	a.keep(c, Subject{Announce: true}, m)
	m.holds(c)
	a.keep(d, Subject{Announce: true}, m)
	m.holds(d)
	eventually(t, "announced once", func() bool { return topics.count(c.DiscoveryKey()) == 1 })
	if topics.count(d.DiscoveryKey()) != 0 {
		t.Error("one is announced, not two")
	}
	a.offline()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if topics.count(c.DiscoveryKey()) != 0 {
		t.Error("announced after the end")
	}
	openMirror(t, m.dir, o)
	eventually(t, "announced again", func() bool { return topics.count(c.DiscoveryKey()) == 1 })
}

func TestTruncatedLogIsFollowed(t *testing.T) {
	m := startMirror(t, nil)
	a := newDevice(t, 1)
	c := a.log("x", 20, 100)
	a.keep(c, Subject{}, m)
	m.holds(c)
	if err := c.Truncate(t.Context(), 5, nil); err != nil {
		t.Fatal(err)
	}
	m.holds(c)
	if _, err := c.Append(t.Context(), []byte("other")); err != nil {
		t.Fatal(err)
	}
	m.holds(c)
	if r, _ := m.Record(c.Key()); r.Bytes != 505 {
		t.Errorf("%d bytes", r.Bytes)
	}
	a.offline()
	m.reads(2, c)
}

func TestFewLogsAreOpenAtATime(t *testing.T) {
	m := startMirror(t, &Options{MaxOpen: 3})
	a := newDevice(t, 1)
	var logs []*hypercore.Core
	for i := range 10 {
		c := a.log(string(rune('a'+i)), 3, 10)
		a.keep(c, Subject{}, m)
		m.holds(c)
		logs = append(logs, c)
		if n := m.Stats().Open; n > 3 {
			t.Fatalf("%d logs are open", n)
		}
	}
	a.offline()
	for i, c := range logs {
		m.reads(byte(10+i), c)
	}
}

// While more calls wait than are taken in, the connection is not read. What a call deletes
// is in use on that very connection.
func TestManyDeletionsAtATime(t *testing.T) {
	a := newDevice(t, 1)
	m := startMirror(t, &Options{Trusted: []hypercrypto.PublicKey{a.keyPair.Public}})
	var logs []*hypercore.Core
	for i := range 3 * maxTasks {
		c := a.log(fmt.Sprint(i), 1, 10)
		a.keep(c, Subject{}, m)
		logs = append(logs, c)
	}
	for _, c := range logs {
		m.holds(c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errs := make(chan error, len(logs))
	m.change.Lock()
	for _, c := range logs {
		go func() {
			existed, err := a.Client.Delete(ctx, m.KeyPair().Public, c.Key())
			if err == nil && !existed {
				err = errors.New("not there")
			}
			errs <- err
		}()
	}
	eventually(t, "full", func() bool {
		stacks := make([]byte, 4<<20)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(".(*conn).queue("))
	})
	m.change.Unlock()
	for range logs {
		if err := <-errs; err != nil {
			t.Error(err)
			a.offline() // or nothing ends
		}
	}
}
