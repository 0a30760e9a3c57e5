package space

import (
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// nameOf returns how a device is called in a space.
func nameOf(t testing.TB, s *Space, log hypercrypto.Key) string {
	t.Helper()
	devices, err := s.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if d.Log == log {
			return d.Name
		}
	}
	t.Fatal("there is no such device")
	return ""
}

func TestADeviceKeepsTheNameThatItsPersonGives(t *testing.T) {
	ada := newHuman("Ada")
	a := newMachine(t, ada, "localhost")
	s := a.create("plans")
	b := newMachineOf(t, ada, a.badge.vouch(t), "localhost.2")
	connect(t, a, b)
	x := b.openLink(s)
	if err := x.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	// The one names the other, which is about to describe itself.
	if err := s.RenameDevice(t.Context(), x.Log(), "attic"); err != nil {
		t.Fatal(err)
	}
	if err := s.RenameDevice(t.Context(), s.Log(), "laptop"); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	b.restart()
	x = b.get("plans")
	connect(t, a, b)
	write(t, x, "a=1")
	agree(t, s, x)
	for _, one := range []*Space{s, x} {
		if got := nameOf(t, one, x.Log()); got != "attic" {
			t.Errorf("it is called %q", got)
		}
	}
	// It has the name in spaces to come, too.
	y, err := b.Create(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if got := nameOf(t, y, y.Log()); got != "attic" {
		t.Errorf("in another space it is called %q", got)
	}
	wantKind(t, s.RenameDevice(t.Context(), s.Log(), ""), fault.Usage)
}

// A device says what it is, and its person names it before it hears of that, or it before
// it hears of the name. The name stays.
func TestANameThatIsGivenMeanwhileStays(t *testing.T) {
	for range 4 { // the order depends on random keys
		ada := newHuman("Ada")
		a := newMachine(t, ada, "laptop")
		s := a.create("plans")
		b := newMachineOf(t, ada, a.badge.vouch(t), "phone")
		cut := connect(t, a, b)
		x := b.joinRole(s, Owner)
		agree(t, s, x)
		cut()
		if err := s.RenameDevice(t.Context(), x.Log(), "attic"); err != nil {
			t.Fatal(err)
		}
		if o := x.act(t, false, &deviceAction{name: "phone", alwaysOn: true, level: 1}); o.Err != nil {
			t.Fatal(o.Err)
		}
		connect(t, a, b)
		agree(t, s, x)
		for _, one := range []*Space{s, x} {
			if got := nameOf(t, one, x.Log()); got != "attic" {
				t.Errorf("it is called %q", got)
			}
		}
	}
	// One that has said nothing yet, and has a name, or what there was room for.
	for have, want := range map[string]string{"attic": "attic", "pho": "phone", "x": "phone", "phone": "phone"} {
		if got := (&device{name: have}).called("phone"); got != want {
			t.Errorf("%q becomes %q", have, got)
		}
	}
}

// Nobody names the devices of others, and a viewer names those of their own.
func TestDevicesAreNamedByTheirPersonOnly(t *testing.T) {
	a, b := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone")
	s := a.create("plans")
	connect(t, a, b)
	viewer := b.joinRole(s, Viewer)
	agree(t, s, viewer)
	wantKind(t, s.RenameDevice(t.Context(), viewer.Log(), "mine"), fault.Permission)
	wantRefused(t, "a name for another's device", viewer.act(t, true, &callAction{s.Log(), "mine"}))
	wantRefused(t, "no name", s.act(t, false, &callAction{s.Log(), "a\nb"}))
	wantRefused(t, "a name for nobody", s.act(t, false, &callAction{hypercrypto.Key{1}, "x"}))
	if err := viewer.RenameDevice(patient(t), viewer.Log(), "tablet"); err != nil {
		t.Fatal(err)
	}
	agree2(t, s, viewer)
	for until := patient(t); nameOf(t, s, viewer.Log()) != "tablet"; {
		if until.Err() != nil {
			t.Fatalf("it is called %q", nameOf(t, s, viewer.Log()))
		}
		<-s.Changed()
	}
	if got := nameOf(t, s, s.Log()); got != "laptop" {
		t.Errorf("it is called %q", got)
	}
}

// A device that came when much had happened has the operations from before, too, once it
// asks for them.
func TestOperationsThatAJumpPassedOverAreFetched(t *testing.T) {
	ada := newHuman("Ada")
	a := newMachine(t, ada, "laptop")
	s := a.create("plans")
	for range 60 {
		write(t, s, "a=1")
	}
	b := newMachineOf(t, ada, a.badge.vouch(t), "phone")
	connect(t, a, b)
	x := b.openLink(s)
	if err := x.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	p, err := x.Parts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.FetchOperations(patient(t)); err != nil {
		t.Fatal(err)
	}
	key := s.Log()
	core, err := x.store.Get(t.Context(), corestore.GetOptions{Key: &key, Passive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	if n := p.Operations[key]; n < 60 || !core.Has(0, n) { // there may be more since
		t.Errorf("it has not all of %d operations", n)
	}
}

func TestOperationsAreConfirmedOnceTheyAreSigned(t *testing.T) {
	a := newMachine(t, newHuman("Ada"), "laptop")
	s := a.create("plans")
	for range 20 {
		write(t, s, "a=1")
	}
	for ctx := patient(t); ; time.Sleep(time.Millisecond) {
		n, err := s.Unconfirmed(t.Context())
		if err != nil || n > 21 {
			t.Fatal(n, err)
		}
		if n == 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%d are not confirmed", n)
		}
	}
}

func TestAClockThatIsAheadIsFound(t *testing.T) {
	a := newMachine(t, newHuman("Ada"), "laptop")
	s := a.create("plans")
	write(t, s, "a=1")
	now := time.Now()
	if _, _, ok, err := s.Ahead(t.Context(), now); ok || err != nil {
		t.Fatalf("nothing is ahead: %v, %v", ok, err)
	}
	if o := s.say(t, false, envelope{typ: "notes", body: []byte("b=2"), time: clock.Of(now.Add(3 * time.Hour))}); o.Err != nil {
		t.Fatal(o.Err)
	}
	log, by, ok, err := s.Ahead(t.Context(), now)
	if err != nil || !ok || log != s.Log() || by < 2*time.Hour || by > 4*time.Hour {
		t.Errorf("%s is ahead by %v: %v, %v", log, by, ok, err)
	}
	if _, _, ok, err := s.Ahead(t.Context(), now.Add(4*time.Hour)); ok || err != nil {
		t.Errorf("it is still ahead: %v, %v", ok, err)
	}
}
