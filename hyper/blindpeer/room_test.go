package blindpeer

import (
	"testing"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

const logSize = 10_000 // bytes of the test's logs

// cost is what a log of the test takes.
const logCost = logSize + 10*blockCost + recordCost

func (d *device) bigLog(name string) *hypercore.Core { return d.log(name, 10, logSize/10) }

func (m *mirror) cleared(c *hypercore.Core) bool {
	r, ok := m.Record(c.Key())
	return ok && r.BlocksCleared == r.Length && r.Bytes == 0
}

func TestLongestUnusedIsDroppedFirst(t *testing.T) {
	m := startMirror(t, &Options{MaxBytes: 3*logCost + 2*(10*blockCost+recordCost), MaxBytesPerClient: 1 << 30})
	a := newDevice(t, 1)
	var logs []*hypercore.Core
	for _, name := range []string{"a", "b", "c"} {
		c := a.bigLog(name)
		a.keep(c, Subject{}, m)
		m.holds(c)
		logs = append(logs, c)
	}
	m.reads(2, logs[0]) // now b is the longest unused
	d := a.bigLog("d")
	a.keep(d, Subject{}, m)
	m.holds(d)
	if m.cleared(logs[0]) || !m.cleared(logs[1]) || m.cleared(logs[2]) {
		t.Errorf("cleared: a %v, b %v, c %v", m.cleared(logs[0]), m.cleared(logs[1]), m.cleared(logs[2]))
	}
	s := m.Stats()
	if s.Bytes > s.MaxBytes || s.BytesCleared != logSize || s.Forgotten != 0 {
		t.Errorf("stats %+v", s)
	}
	// What comes later of a cleared log is kept.
	if _, err := logs[1].Append(t.Context(), []byte("later")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the later block kept", func() bool {
		r, _ := m.Record(logs[1].Key())
		return r.Length == 11 && r.Bytes == 5 && r.BytesCleared == logSize && m.Holds(logs[1].Key())
	})
	// And served, with its proof.
	a.offline()
	reader, key := newDevice(t, 3).knows(m), logs[1].Key()
	c, err := reader.Store.Get(t.Context(), corestore.GetOptions{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	reader.connect(m)
	if got, err := c.Get(patient(t), 10); err != nil || string(got) != "later" {
		t.Errorf("%q, %v", got, err)
	}
}

// What was used one after the other counts in that order, although the records are
// brought up to date now and then only.
func TestUsesCountInTheirOrder(t *testing.T) {
	m := startMirror(t, &Options{MaxBytes: 3*logCost + 2*(10*blockCost+recordCost), MaxBytesPerClient: 1 << 30})
	a := newDevice(t, 1)
	var logs []*hypercore.Core
	for i := range 3 {
		c := a.bigLog(string(rune('a' + i)))
		a.keep(c, Subject{}, m)
		m.holds(c)
		logs = append(logs, c)
	}
	for i, k := range []int{1, 2, 0} {
		m.reads(byte(2+i), logs[k])
	}
	d := a.bigLog("d")
	a.keep(d, Subject{}, m)
	m.holds(d)
	if m.cleared(logs[0]) || !m.cleared(logs[1]) || m.cleared(logs[2]) {
		t.Errorf("cleared: a %v, b %v, c %v", m.cleared(logs[0]), m.cleared(logs[1]), m.cleared(logs[2]))
	}
}

func TestLogsAreForgottenWhenClearingIsNotEnough(t *testing.T) {
	m := startMirror(t, &Options{MaxBytes: 2*logCost + 100, MaxBytesPerClient: 1 << 30})
	a := newDevice(t, 1)
	for i := range 12 {
		c := a.bigLog(string(rune('a' + i)))
		a.keep(c, Subject{}, m)
		m.holds(c)
		if s := m.Stats(); s.Bytes > s.MaxBytes {
			t.Fatalf("stats %+v", s)
		}
	}
	if s := m.Stats(); s.Forgotten == 0 || s.Logs == 12 {
		t.Errorf("stats %+v", s)
	}
}

func TestHigherPriorityStays(t *testing.T) {
	m := startMirror(t, &Options{MaxBytes: 2 * logCost, MaxBytesPerClient: 1 << 30})
	a := newDevice(t, 1)
	high, low := a.bigLog("high"), a.bigLog("low")
	a.keep(high, Subject{Priority: PriorityNormal}, m)
	a.keep(low, Subject{}, m)
	m.holds(high)
	m.holds(low)
	next := a.bigLog("next")
	a.keep(next, Subject{Priority: PriorityNormal}, m)
	m.holds(next)
	if m.cleared(high) {
		t.Error("one of the same priority was dropped before one of a lower")
	}
	late := a.bigLog("late")
	a.keep(late, Subject{}, m)
	eventually(t, "refused", func() bool { return m.Stats().Refused > 0 })
	if m.cleared(high) || m.cleared(next) || m.Holds(late.Key()) {
		t.Error("it took the place of more important ones")
	}
}

func TestClientHasALimit(t *testing.T) {
	a, b, c := newDevice(t, 1), newDevice(t, 2), newDevice(t, 3)
	m := startMirror(t, &Options{MaxBytesPerClient: logCost + 2000, Trusted: []hypercrypto.PublicKey{b.keyPair.Public}})
	first, second := a.bigLog("first"), a.bigLog("second")
	a.keep(first, Subject{}, m)
	m.holds(first)
	a.keep(second, Subject{}, m)
	eventually(t, "refused", func() bool { return m.Stats().Refused == 1 })
	if m.Holds(second.Key()) || m.Stats().Bytes > logCost+2000 {
		t.Errorf("kept above the limit: %+v", m.Stats())
	}
	// A trusted client and another stranger have place of their own.
	for _, d := range []*device{b, c} {
		x := d.bigLog("x")
		d.keep(x, Subject{}, m)
		m.holds(x)
	}
	y := b.bigLog("y")
	b.keep(y, Subject{}, m)
	m.holds(y)
	// What somebody trusted asks for too does not count as the stranger's any more.
	b.keep(second, Subject{}, m)
	a.offline()
	a.connect(m)
	m.holds(second)
}

func TestStrangersDoNotPushOutTrustedClients(t *testing.T) {
	a, b := newDevice(t, 1), newDevice(t, 2)
	m := startMirror(t, &Options{MaxBytes: 2 * logCost, MaxBytesPerClient: 1 << 30, Trusted: []hypercrypto.PublicKey{a.keyPair.Public}})
	one, two := a.bigLog("one"), a.bigLog("two")
	a.keep(one, Subject{}, m)
	a.keep(two, Subject{}, m)
	m.holds(one)
	m.holds(two)
	c := b.bigLog("c")
	b.keep(c, Subject{Priority: PriorityNormal}, m)
	eventually(t, "refused", func() bool { return m.Stats().Refused > 0 })
	if m.cleared(one) || m.cleared(two) || m.Holds(c.Key()) {
		t.Error("a stranger pushed out a trusted client")
	}
}

func TestRecordsAreLimited(t *testing.T) {
	a, b := newDevice(t, 1), newDevice(t, 2)
	m := startMirror(t, &Options{MaxLogs: 8, MaxLogsPerClient: 6})
	a.knows(m)
	at := m.KeyPair().Public
	ctx := patient(t)
	for i := range byte(6) {
		if _, err := a.Add(ctx, at, hypercrypto.Key{i + 1}, AddOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := a.Add(ctx, at, hypercrypto.Key{100}, AddOptions{})
	wantRefusal(t, err, "No room for another core")
	b.knows(m)
	for i := range byte(6) {
		if _, err := b.Add(ctx, at, hypercrypto.Key{i + 50}, AddOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if s := m.Stats(); s.Logs > 8 || s.Forgotten < 4 {
		t.Errorf("stats %+v", s)
	}
}
