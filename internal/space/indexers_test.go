package space

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"pgregory.net/rapid"
)

// From any set of devices that confirm, changes lead to the wanted one and end there, and
// never below one device.
func TestIndexersComeToTheWantedOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "devices")
		list := make([]candidate, n)
		for i := range list {
			list[i] = candidate{
				log: hypercrypto.Key{byte(i)}, since: uint64(i), indexer: rapid.Bool().Draw(t, "indexer"),
				alwaysOn: rapid.Bool().Draw(t, "always on"), owner: rapid.Bool().Draw(t, "owner"), online: rapid.Bool().Draw(t, "online"),
			}
		}
		if !slices.ContainsFunc(list, func(c candidate) bool { return c.indexer }) {
			list[0].indexer = true // the one that made the space
		}
		steps := 0
		for {
			log, add, ok := nextIndexer(list)
			if !ok {
				break
			}
			if steps++; steps > 2*n {
				t.Fatal("it does not end")
			}
			left := 0
			for i := range list {
				if list[i].log == log {
					if list[i].indexer == add {
						t.Fatal("a change that changes nothing")
					}
					if add && !list[i].online {
						t.Fatal("one that is not there shall confirm")
					}
					list[i].indexer = add
				}
				left += b2i(list[i].indexer)
			}
			if left == 0 {
				t.Fatal("nobody is left")
			}
		}
		confirm, count := 0, 0
		for _, c := range list {
			confirm += b2i(c.indexer)
			count += b2i(c.indexer || c.online)
		}
		if confirm != wantedIndexers(count) && confirm != wantedIndexers(n) {
			t.Fatalf("%d of %d confirm, %d count", confirm, n, count)
		}
		for _, c := range list {
			if c.online && c.alwaysOn && !c.indexer && slices.ContainsFunc(list, func(o candidate) bool { return o.indexer && !o.alwaysOn }) {
				t.Fatal("one that is always on was passed over")
			}
		}
	})
}

func (s *Space) confirming(t testing.TB) (logs []hypercrypto.Key) {
	t.Helper()
	for _, r := range s.base.Status().Indexers {
		logs = append(logs, r.Key)
	}
	devices, err := s.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if d.Indexer != slices.Contains(logs, d.Log) {
			return nil // on its way
		}
	}
	return logs
}

func awaitConfirming(t testing.TB, s *Space, want func(logs []hypercrypto.Key) bool) {
	t.Helper()
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		logs := s.confirming(t)
		if logs != nil && want(logs) && s.base.Settled() {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%v confirm: %+v", logs, s.base.Status())
		}
	}
}

func TestThreeDevicesConfirmAndOneMayGo(t *testing.T) {
	ada := newHuman("Ada")
	always := func(o *Options) { o.AlwaysOn = true }
	a := newMachine(t, ada, "laptop")
	b := newMachineOf(t, ada, a.badge.vouch(t), "server", always)
	c, d := newMachine(t, newHuman("Bob"), "phone"), newMachine(t, newHuman("Cyd"), "pc")
	s := a.create("plans")
	connect(t, a, b, c, d)
	x := b.joinRole(s, Owner)
	// The one that is always on takes over.
	awaitConfirming(t, s, func(l []hypercrypto.Key) bool { return slices.Equal(l, []hypercrypto.Key{x.Log()}) })
	y := c.joinRole(s, Editor)
	awaitConfirming(t, s, func(l []hypercrypto.Key) bool { return len(l) == 3 })
	z := d.joinRole(s, Editor)
	write(t, z, "d=1")
	agree(t, s, x, y, z)
	// One is removed, the fourth follows.
	if err := s.RemoveDevice(patient(t), x.Log()); err != nil {
		t.Fatal(err)
	}
	awaitConfirming(t, s, func(l []hypercrypto.Key) bool { return len(l) == 3 && !slices.Contains(l, x.Log()) })
	agree(t, s, y, z)
	wantKind(t, s.RemoveDevice(patient(t), x.Log()), fault.Permission)
}

// Three devices confirm only when three are there: with two of them, of which one is away,
// nothing would be confirmed.
func TestDevicesThatAreAwayAreNotMadeToConfirm(t *testing.T) {
	var online sync.Map
	node := func(name byte) func(*Options) {
		return func(o *Options) {
			o.Node, o.lately = hypercrypto.PublicKey{name}, time.Nanosecond
			o.Online = func(k hypercrypto.PublicKey) bool { _, ok := online.Load(k); return ok }
		}
	}
	ada := newHuman("Ada")
	a := newMachine(t, ada, "laptop", node('a'))
	b := newMachineOf(t, ada, a.badge.vouch(t), "old laptop", node('b'))
	c, d := newMachine(t, newHuman("Bob"), "phone", node('c')), newMachine(t, newHuman("Cyd"), "pc", node('d'))
	s := a.create("plans")
	connect(t, a, b, c, d)
	alone := func(l []hypercrypto.Key) bool { return slices.Equal(l, []hypercrypto.Key{s.Log()}) }
	x := b.joinRole(s, Owner)
	online.Store(hypercrypto.PublicKey{'b'}, nil)
	y := c.joinRole(s, Editor)
	write(t, y, "c=1")
	agree(t, s, x, y)
	// Longer than any device waits for its turn.
	for until := time.Now().Add(20 * s.l.opts.AckInterval); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if l := s.confirming(t); l != nil && !alone(l) {
			t.Fatalf("%v confirm", l)
		}
	}
	online.Store(hypercrypto.PublicKey{'c'}, nil)
	awaitConfirming(t, s, func(l []hypercrypto.Key) bool { return len(l) == 3 })
	// One that is away stays: the two others are enough.
	online.Delete(hypercrypto.PublicKey{'c'})
	z := d.joinRole(s, Editor)
	write(t, z, "d=1")
	agree(t, s, x, z)
	awaitConfirming(t, s, func(l []hypercrypto.Key) bool { return len(l) == 3 && slices.Contains(l, y.Log()) })
}

// The only device that confirms is lost: who removes it is told so, instead of waiting for
// it for ever.
func TestRemovingTheLostDeviceThatConfirmsSaysWhatToDo(t *testing.T) {
	var online atomic.Bool
	online.Store(true)
	options := func(o *Options) {
		o.Node, o.patience = hypercrypto.PublicKey{1}, 100*time.Millisecond
		o.Online = func(hypercrypto.PublicKey) bool { return online.Load() }
	}
	ada := newHuman("Ada")
	a := newMachine(t, ada, "laptop", options)
	b := newMachineOf(t, ada, a.badge.vouch(t), "phone", options)
	s := a.create("plans")
	cut := connect(t, a, b)
	x := b.joinRole(s, Owner)
	write(t, x, "b=1")
	agree(t, s, x)
	cut()
	online.Store(false)
	err := x.RemoveDevice(patient(t), s.Log())
	wantKind(t, err, fault.Unavailable)
	if text := strings.Join(append(fault.HintsOf(err), err.Error()), " "); !strings.Contains(text, "laptop") || !strings.Contains(text, "space recover") {
		t.Errorf("it says %q", text)
	}
	// It is waited for as long as it is there.
	online.Store(true)
	connect(t, a, b)
	if err := x.RemoveDevice(patient(t), s.Log()); err != nil {
		t.Fatal(err)
	}
	awaitConfirming(t, x, func(l []hypercrypto.Key) bool { return slices.Equal(l, []hypercrypto.Key{x.Log()}) })
}

// The only device that confirms hands that over before it goes.
func TestTheOnlyDeviceThatConfirmsGoes(t *testing.T) {
	ada := newHuman("Ada")
	a := newMachine(t, ada, "laptop")
	b := newMachineOf(t, ada, a.badge.vouch(t), "new laptop")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Owner)
	write(t, x, "b=1")
	agree(t, s, x)
	if err := x.RemoveDevice(patient(t), s.Log()); err != nil {
		t.Fatal(err)
	}
	awaitConfirming(t, x, func(l []hypercrypto.Key) bool { return slices.Equal(l, []hypercrypto.Key{x.Log()}) })
	write(t, x, "b=2")
	wantNotes(t, x, "b=2")
	wantKind(t, x.RemoveDevice(patient(t), x.Log()), fault.Conflict)
}
