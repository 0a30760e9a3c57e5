package lan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"
)

var topicA, topicB = Topic{1, 2, 3}, Topic{4, 5, 6}

func TestNodesFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		one, two := b.attach("10.0.0.1").node(t), b.attach("10.0.0.2").node(t)
		early := watch(t, two, topicA)
		stop, err := one.Announce(topicA, 4100)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		if !early.sees("10.0.0.1:4100") {
			t.Error("who browses first finds nothing")
		}
		late, other := watch(t, two, topicA), watch(t, two, topicB)
		time.Sleep(soon)
		if !late.sees("10.0.0.1:4100") {
			t.Error("who browses later finds nothing")
		}
		if other.count() != 0 {
			t.Error("another topic is found")
		}
		if own := watch(t, one, topicA); own.count() != 0 {
			t.Error("a node finds itself")
		}
		stop()
		time.Sleep(soon)
		if early.sees("10.0.0.1:4100") || late.sees("10.0.0.1:4100") {
			t.Error("what was taken back is still there")
		}
	})
}

func TestLateNodeAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		one := b.attach("10.0.0.1").node(t)
		if _, err := one.Announce(topicA, 4100); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		time.Sleep(soon)
		if !w.sees("10.0.0.1:4100") {
			t.Error("a node that was there before is not found")
		}
	})
}

func TestAnnouncementsOfDeadNodesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		port := b.attach("10.0.0.1")
		one := port.node(t)
		if _, err := one.Announce(topicA, 4100); err != nil {
			t.Fatal(err)
		}
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		time.Sleep(10 * lifetime)
		if !w.sees("10.0.0.1:4100") || w.count() != 1 {
			t.Fatalf("a living node was lost, %d events", w.count())
		}
		port.deafen() // hears no question, so it never answers again
		time.Sleep(lifetime + soon)
		if w.sees("10.0.0.1:4100") {
			t.Error("a dead node is still there")
		}
	})
}

// Labels and ids change every hour; who has found a peer does not notice.
func TestRotationIsInvisibleToThoseWhoKnowTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		port := b.attach("10.0.0.1")
		if _, err := port.node(t).Announce(topicA, 4100); err != nil {
			t.Fatal(err)
		}
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		time.Sleep(5*time.Hour + time.Minute)
		if !w.sees("10.0.0.1:4100") || w.count() != 1 {
			t.Errorf("%d events in five hours, found: %v", w.count(), w.sees("10.0.0.1:4100"))
		}
		labels, ids := make(map[label]bool), make(map[id]label)
		for _, p := range b.said(port.addr) {
			m, err := parse(p.data)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range m.announcements {
				labels[a.label] = true
				for _, id := range a.ids {
					if l, ok := ids[id]; ok && l != a.label {
						t.Errorf("id %x is used again", id)
					}
					ids[id] = a.label
				}
			}
		}
		if len(labels) < 5 {
			t.Errorf("%d labels in five hours", len(labels))
		}
	})
}

func TestWireNeverHoldsTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		topic := Topic(bytes.Repeat([]byte("secret! "), 4))
		one, two := b.attach("10.0.0.1"), b.attach("10.0.0.2")
		for _, p := range []*busPort{one, two} {
			n := p.node(t)
			if _, err := n.Announce(topic, 4100); err != nil {
				t.Fatal(err)
			}
			watch(t, n, topic)
		}
		time.Sleep(3 * time.Hour)
		seen := make(map[id]netip.Addr)
		for _, p := range append(b.said(one.addr), b.said(two.addr)...) {
			for i := 0; i+8 <= len(topic); i += 8 {
				if bytes.Contains(p.data, topic[i:i+8]) {
					t.Fatal("a packet holds the topic")
				}
			}
			m, err := parse(p.data)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range m.announcements {
				for _, id := range a.ids {
					if at, ok := seen[id]; ok && at != p.from {
						t.Fatal("an observer sees that two nodes share a topic")
					}
					seen[id] = p.from
				}
			}
		}
	})
}

// A replayed announcement is good for at most two hours.
func TestOldAnnouncementsAreNotRecognized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		port := b.attach("10.0.0.1")
		one := port.node(t)
		if _, err := one.Announce(topicA, 4100); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		one.Close()
		old := b.said(port.addr)[0]
		time.Sleep(3 * time.Hour)
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		time.Sleep(soon)
		b.say(netip.MustParseAddr("10.0.0.66"), old.data)
		time.Sleep(soon)
		if w.count() != 0 {
			t.Error("an old announcement is taken for a new one")
		}
	})
}

func TestNobodyTakesBackWhatOthersAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		port := b.attach("10.0.0.1")
		if _, err := port.node(t).Announce(topicA, 4100); err != nil {
			t.Fatal(err)
		}
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		time.Sleep(soon)
		for _, p := range b.said(port.addr) {
			m, _ := parse(p.data)
			for _, a := range m.announcements {
				bye, err := packGoodbye(a.label)
				if err != nil {
					t.Fatal(err)
				}
				b.say(netip.MustParseAddr("10.0.0.66"), bye)
			}
		}
		time.Sleep(soon)
		if !w.sees("10.0.0.1:4100") {
			t.Error("a stranger took the announcement back")
		}
	})
}

func TestFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		port := b.attach("10.0.0.1")
		one := port.node(t)
		if _, err := one.Announce(topicA, 4100); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		before := len(b.said(port.addr))
		question, _ := packQuestion(nil)
		for i := range 20_000 {
			from := netip.AddrFrom4([4]byte{10, 0, byte(1 + i%200), byte(i)})
			a := &announcement{label: newLabel(), port: 1, ids: []id{{byte(i)}}, ttl: lifetime}
			p, err := packAnnouncement(a, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.say(from, p)
			b.say(from, question)
			time.Sleep(time.Millisecond)
		}
		if answers := len(b.said(port.addr)) - before; answers > 22 {
			t.Errorf("%d answers within 20 seconds", answers)
		}
		if err := one.do(func(s *state) {
			if len(s.seen) > maxSightings || len(s.sources) > maxSources {
				t.Errorf("%d announcements of %d sources are remembered", len(s.seen), len(s.sources))
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lifetime)
		if err := one.do(func(s *state) {
			if len(s.seen) != 0 || len(s.sources) > 1 {
				t.Errorf("%d announcements of %d sources are left", len(s.seen), len(s.sources))
			}
		}); err != nil {
			t.Fatal(err)
		}
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		time.Sleep(soon)
		if !w.sees("10.0.0.1:4100") {
			t.Error("after the flood the node is not found")
		}
	})
}

func TestManyTopicsAndPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		one, two := b.attach("10.0.0.1").node(t), b.attach("10.0.0.2").node(t)
		var stops []func()
		for i := range maxAnnounced {
			stop, err := one.Announce(Topic{byte(i), byte(i >> 8), 9}, uint16(4100+i%2))
			if err != nil {
				t.Fatal(err)
			}
			stops = append(stops, stop)
		}
		if _, err := one.Announce(topicA, 4100); !errors.Is(err, ErrTooMany) {
			t.Errorf("one topic too many: %v", err)
		}
		for _, i := range []int{0, 1, 500, maxAnnounced - 1} {
			w := watch(t, two, Topic{byte(i), byte(i >> 8), 9})
			time.Sleep(soon)
			if !w.sees(fmt.Sprintf("10.0.0.1:%d", 4100+i%2)) {
				t.Errorf("topic %d is not found", i)
			}
			stops[i]()
			time.Sleep(soon)
			if w.count() != 2 {
				t.Errorf("topic %d: %d events", i, w.count())
			}
		}
	})
}

func TestEqualAnnouncementsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		one := b.attach("10.0.0.1").node(t)
		w := watch(t, b.attach("10.0.0.2").node(t), topicA)
		first, _ := one.Announce(topicA, 4100)
		second, _ := one.Announce(topicA, 4100)
		time.Sleep(soon)
		first()
		first()
		time.Sleep(soon)
		if !w.sees("10.0.0.1:4100") {
			t.Error("one of two announcements was enough to stop both")
		}
		second()
		time.Sleep(soon)
		if w.sees("10.0.0.1:4100") {
			t.Error("both are stopped and it is still announced")
		}
	})
}

func TestClosedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus
		one, two := b.attach("10.0.0.1").node(t), b.attach("10.0.0.2").node(t)
		stop, err := one.Announce(topicA, 4100)
		if err != nil {
			t.Fatal(err)
		}
		w, own := watch(t, two, topicA), watch(t, one, topicA)
		time.Sleep(soon)
		one.Close()
		one.Close()
		stop()
		time.Sleep(soon)
		if w.sees("10.0.0.1:4100") {
			t.Error("a closed node is still there")
		}
		if <-own.done; !errors.Is(own.err, ErrClosed) {
			t.Errorf("browsing ends with %v", own.err)
		}
		if _, err := one.Announce(topicA, 1); !errors.Is(err, ErrClosed) {
			t.Errorf("announce: %v", err)
		}
		for _, err := range one.Browse(context.Background(), topicA) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("browse: %v", err)
			}
		}
	})
}

func TestTXTRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := newInstance(1)
		n := rapid.IntRange(1, maxIDs).Draw(t, "topics")
		for k := range n {
			i.topics = append(i.topics, announced{Topic{byte(k), 1}, 1})
		}
		e := rapid.Int64Range(0, 1<<20).Draw(t, "hour")
		a := i.announcement(e)
		if len(a.ids) < n || len(a.ids) > maxIDs {
			t.Fatalf("%d ids for %d topics", len(a.ids), n)
		}
		p, err := packAnnouncement(a, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")})
		if err != nil || len(p) > 1400 {
			t.Fatalf("packet of %d bytes: %v", len(p), err)
		}
		m, err := parse(p)
		if err != nil || len(m.announcements) != 1 {
			t.Fatalf("%v, %v", m, err)
		}
		got := m.announcements[0]
		if got.label != a.label || got.port != a.port || got.ttl != a.ttl || len(got.ids) != len(a.ids) {
			t.Fatalf("%+v is read as %+v", a, got)
		}
		at := time.Unix(e*3600, 0)
		for k := range n {
			topic := &i.topics[k].topic
			for _, skew := range []time.Duration{0, -59 * time.Minute, 59 * time.Minute} {
				if !names(got.ids, topic, got.label, at.Add(skew)) {
					t.Fatal("a topic is not recognized")
				}
			}
			if names(got.ids, topic, newLabel(), at) || names(got.ids, topic, got.label, at.Add(3*time.Hour)) {
				t.Fatal("a topic is recognized under another label or hour")
			}
		}
	})
}

func TestHostileTXT(t *testing.T) {
	for name, txt := range map[string][]string{
		"empty":         {},
		"no version":    {"t0=12345678"},
		"other version": {"v=2", "t0=12345678"},
		"no ids":        {"v=1"},
		"half an id":    {"v=1", "t0=1234"},
		"too many ids":  {"v=1", "t0=" + string(make([]byte, 248)), "t0=" + string(make([]byte, 248)), "t0=" + string(make([]byte, 248)), "t0=" + string(make([]byte, 248)), "t0=12345678"},
	} {
		if ids, ok := decodeTXT(txt); ok {
			t.Errorf("%s: %d ids", name, len(ids))
		}
	}
	if ids, ok := decodeTXT([]string{"v=1", "later=x", "", "t0=12345678"}); !ok || len(ids) != 1 {
		t.Error("an unknown key is in the way")
	}
}

func FuzzParse(f *testing.F) {
	i := newInstance(4100)
	i.topics = []announced{{topicA, 1}}
	a, _ := packAnnouncement(i.announcement(1), []netip.Addr{netip.MustParseAddr("10.0.0.1")})
	g, _ := packGoodbye(i.label)
	q, _ := packQuestion(map[label]time.Duration{i.label: lifetime})
	f.Add(a)
	f.Add(g)
	f.Add(q)
	all := dnsmessage.NewBuilder(nil, dnsmessage.Header{})
	if err := all.StartQuestions(); err != nil {
		f.Fatal(err)
	}
	for range 200 {
		if err := all.Question(dnsmessage.Question{Name: serviceName, Type: dnsmessage.TypeALL}); err != nil {
			f.Fatal(err)
		}
	}
	many, _ := all.Finish()
	f.Add(many)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		for _, a := range m.announcements {
			if a.port == 0 || len(a.ids) == 0 || len(a.ids) > maxIDs || a.ttl <= 0 || a.ttl > lifetime {
				t.Fatalf("%+v", a)
			}
			p, err := packAnnouncement(&a, nil)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := parse(p); err != nil || len(again.announcements) != 1 {
				t.Fatalf("%v: %v", again, err)
			}
		}
		if len(m.announcements)+len(m.goodbyes)+len(m.known)+len(m.askedFor) > 4*maxRecords {
			t.Fatal("too much of one packet")
		}
	})
}

func FuzzDecodeTXT(f *testing.F) {
	f.Add("v=1", "t0=12345678", "t1=")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if ids, ok := decodeTXT([]string{a, b, c}); ok && (len(ids) == 0 || len(ids) > maxIDs) {
			t.Fatal(len(ids))
		}
	})
}
