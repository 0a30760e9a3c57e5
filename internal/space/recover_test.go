package space

import (
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/fault"
)

// openLink opens a space on a machine by its link.
func (m *machine) openLink(s *Space) *Space {
	m.t.Helper()
	x, err := m.OpenLink(m.t.Context(), s.Link(), s.Name(), false)
	if err != nil {
		m.t.Fatal(err)
	}
	return x
}

// The only device is lost. The phrase and a copy that somebody has are enough.
func TestThePhraseRecoversASpaceOnANewDevice(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a, b := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone")
	s := a.create("plans")
	write(t, s, "a=1")
	cut := connect(t, a, b)
	x := b.joinRole(s, Viewer)
	agree(t, s, x)
	cut()
	a.close()

	ada.at = ada.at.Add(5e9)
	n := newMachine(t, ada, "new laptop")
	cut = connect(t, b, n)
	y := n.openLink(x)
	if err := y.WaitMember(patient(t)); err != nil { // its person is a member
		t.Fatal(err)
	}
	write(t, y, "n=1")
	write(t, y, "before=kept")
	agree(t, x, y)
	if st := y.base.Status(); st.Confirmed == st.Tip {
		t.Error("it confirms what it cannot")
	}
	cut()
	// Who is no owner recovers nothing.
	wantKind(t, x.Recover(patient(t), bob.keys, nil), fault.Permission)
	wantKind(t, y.Recover(patient(t), bob.keys, nil), fault.Usage)
	if err := y.Recover(patient(t), ada.keys, []hypercrypto.Key{s.Log()}); err != nil {
		t.Fatal(err)
	}
	cut = connect(t, b, n)
	write(t, y, "n=2")
	agree(t, x, y)
	awaitConfirming(t, y, func(l []hypercrypto.Key) bool { return slices.Equal(l, []hypercrypto.Key{y.Log()}) })
	for st := y.base.Status(); st.Confirmed < st.Tip; st = y.base.Status() {
		if err := y.settle(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	wantNotes(t, y, "a=1", "before=kept", "n=2")
	wantNotes(t, x, "a=1", "before=kept", "n=2")
	devices, err := x.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if d.Removed != (d.Log == s.Log()) || d.Indexer != (d.Log == y.Log()) {
			t.Errorf("%+v", d)
		}
	}
	// And again after a restart.
	cut()
	n.restart()
	y = n.get(y.Key().String())
	write(t, y, "n=3")
	connect(t, b, n)
	agree(t, x, y)
	wantNotes(t, x, "a=1", "before=kept", "n=3")
}

// A device that never was in the space recovers it at once.
func TestADeviceThatWasNoMemberRecovers(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a, b := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone")
	s := a.create("plans")
	write(t, s, "a=1")
	cut := connect(t, a, b)
	x := b.joinRole(s, Editor)
	write(t, x, "b=1")
	agree(t, s, x)
	cut()
	a.close()
	ada.at = ada.at.Add(5e9)
	n := newMachine(t, ada, "new laptop")
	connect(t, b, n)
	y := n.openLink(x)
	agree2(t, x, y)
	if err := y.Recover(patient(t), ada.keys, []hypercrypto.Key{s.Log()}); err != nil {
		t.Fatal(err)
	}
	write(t, x, "b=2")
	write(t, y, "n=1")
	agree(t, x, y)
	wantNotes(t, y, "a=1", "b=2", "n=1")
	awaitConfirming(t, y, func(l []hypercrypto.Key) bool { return slices.Equal(l, []hypercrypto.Key{y.Log()}) })
}

// agree2 waits until the second has the notes of the first.
func agree2(t testing.TB, a, b *Space) {
	t.Helper()
	ctx := patient(t)
	for !slices.Equal(dump(t, a.View("notes")), dump(t, b.View("notes"))) {
		changed := b.Changed()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("it does not come")
		}
	}
}
