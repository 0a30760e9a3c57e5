package space

import (
	"context"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/internal/fault"
)

func (m *machine) create(name string) *Space {
	m.t.Helper()
	s, err := m.Create(m.t.Context(), name)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func inviteTo(t testing.TB, s *Space, o InviteOptions) *blindpairing.Invite {
	t.Helper()
	i, err := s.Invite(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// join joins a machine to a space and waits until it is a member.
func (m *machine) join(i *blindpairing.Invite) *Space {
	m.t.Helper()
	ctx := patient(m.t)
	s, err := m.Join(ctx, i, "")
	if err != nil {
		m.t.Fatal(err)
	}
	if err := s.WaitInvited(ctx, i.ID()); err != nil {
		m.t.Fatalf("%v; %+v", err, s.base.Status())
	}
	return s
}

// joinRole invites a machine to a space with a role.
func (m *machine) joinRole(s *Space, role Role) *Space {
	m.t.Helper()
	return m.join(inviteTo(m.t, s, InviteOptions{Role: role, Uses: 1}))
}

func roleOf(t testing.TB, s *Space) Role {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Role
}

func TestAnEditorJoinsAndBothWrite(t *testing.T) {
	a, b := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone")
	s := a.create("plans")
	write(t, s, "a=1")
	connect(t, a, b)
	x := b.joinRole(s, Editor)
	if x.Name() != "plans" || roleOf(t, x) != Editor {
		t.Errorf("%q, %v", x.Name(), roleOf(t, x))
	}
	write(t, x, "b=2")
	write(t, s, "c=3")
	agree(t, s, x)
	wantNotes(t, s, "a=1", "b=2", "c=3")
	wantNotes(t, x, "a=1", "b=2", "c=3")
	_, err := x.Invite(t.Context(), InviteOptions{Role: Viewer})
	wantKind(t, err, fault.Permission)
	wantKind(t, x.SetSetting(t.Context(), "name", []byte("mine")), fault.Permission)
	members, err := x.Members(t.Context())
	if err != nil || len(members) != 2 {
		t.Fatalf("%+v, %v", members, err)
	}
	for _, m := range members {
		if m.Self != (m.Name == "Bob") || (m.Role == Owner) != (m.Name == "Ada") {
			t.Errorf("%+v", m)
		}
	}
}

func TestAnyMemberWhoWritesAnswersInvites(t *testing.T) {
	a, b, c := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone"), newMachine(t, newHuman("Cyd"), "pc")
	s := a.create("plans")
	cut := connect(t, a, b)
	x := b.joinRole(s, Editor)
	i := inviteTo(t, s, InviteOptions{Role: Viewer})
	agree(t, s, x)
	cut()
	connect(t, b, c)
	y := c.join(i)
	if roleOf(t, y) != Viewer {
		t.Error(roleOf(t, y))
	}
	connect(t, a, b)
	agree(t, s, x, y)
	_, err := y.Append(t.Context(), "notes", []byte("a=1"))
	wantKind(t, err, fault.Permission)
}

func TestInvitesThatAreOverRefuse(t *testing.T) {
	a, b, c := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone"), newMachine(t, newHuman("Cyd"), "pc")
	s := a.create("plans")
	connect(t, a, b, c)
	once := inviteTo(t, s, InviteOptions{Role: Editor, Uses: 1})
	x := b.join(once)
	_, err := c.Join(patient(t), once, "")
	wantKind(t, err, fault.Permission)
	short := inviteTo(t, s, InviteOptions{Role: Editor, Lasts: time.Second})
	revoked := inviteTo(t, s, InviteOptions{Role: Editor})
	if err := s.Revoke(t.Context(), revoked.ID()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x) // who has not heard of it lets others in
	_, err = c.Join(patient(t), revoked, "")
	wantKind(t, err, fault.Permission)
	for time.Now().Before(short.Expires.Add(time.Second)) {
		time.Sleep(10 * time.Millisecond)
	}
	_, err = c.Join(patient(t), short, "")
	wantKind(t, err, fault.Permission)
	agree(t, s, x)
	list, err := x.Invites(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, i := range list {
		if i.Revoked != (i.ID == revoked.ID()) || i.Used != uint64(len(list))-2-boolTo(i.ID != once.ID()) {
			t.Errorf("%+v", i)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = c.Join(ctx, &blindpairing.Invite{Seed: [32]byte{1}, DiscoveryKey: s.Key().Discovery()}, "")
	wantKind(t, err, fault.Unavailable)
}

func boolTo(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func TestARemovedEditorChangesNothing(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a, b := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone")
	s := a.create("plans")
	cut := connect(t, a, b)
	many := inviteTo(t, s, InviteOptions{Role: Editor})
	x := b.join(many)
	write(t, x, "b=1")
	agree(t, s, x)
	cut()
	if err := s.Remove(t.Context(), bob.key()); err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1")
	write(t, x, "b=late") // does not know yet
	cut = connect(t, a, b)
	waitRemoved(t, x)
	waitLog(t, s, x)
	// What was written meanwhile may come before the removal, or after it.
	now := dump(t, s.View("notes"))
	_, err := x.Append(t.Context(), "notes", []byte("c=1"))
	wantKind(t, err, fault.Permission)
	write(t, s, "z=1")
	wantNotes(t, s, append(now, "z=1")...)
	// The invite is older than the removal.
	cut()
	if err := b.Forget(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	connect(t, a, b)
	_, err = b.Join(patient(t), many, "")
	wantKind(t, err, fault.Permission)
	y := b.joinRole(s, Viewer)
	// On its way it sees the time before the removal.
	if roleOf(t, y) != Viewer {
		t.Error(roleOf(t, y))
	}
}

func TestRolesChange(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a, b := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Viewer)
	if err := s.SetRole(t.Context(), bob.key(), Editor); err != nil {
		t.Fatal(err)
	}
	if err := x.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	if err := x.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	write(t, x, "b=1")
	agree(t, s, x)
	if err := s.SetRole(t.Context(), bob.key(), Viewer); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	_, err := x.Append(t.Context(), "notes", []byte("b=2"))
	wantKind(t, err, fault.Permission)
	// A viewer has a name of their own, and may go.
	if err := x.Rename(t.Context(), "Robert"); err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
	members, err := s.Members(t.Context())
	if err != nil || len(members) != 2 || members[0].Name != "Robert" && members[1].Name != "Robert" {
		t.Errorf("%+v, %v", members, err)
	}
	wantKind(t, s.SetRole(t.Context(), ada.key(), Editor), fault.Conflict)
	wantKind(t, a.Leave(t.Context(), s), fault.Conflict)
	if err := b.Leave(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if len(b.Spaces()) != 0 {
		t.Error("it is here still")
	}
}

// Who was removed forgets the space first: an invite that cannot be used stays good.
func TestAnInviteToASpaceThatIsHereIsNotUsedUp(t *testing.T) {
	a, b := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Editor)
	if err := s.Remove(t.Context(), x.l.opts.Identity.(*badge).proof.Identity); err != nil {
		t.Fatal(err)
	}
	i := inviteTo(t, s, InviteOptions{Role: Editor, Uses: 1})
	_, err := b.Join(patient(t), i, "")
	wantKind(t, err, fault.Conflict)
	if err := b.Forget(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	y, err := b.Join(patient(t), i, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := y.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
}

func TestAllDevicesOfAPersonHaveAllTheirSpaces(t *testing.T) {
	ada := newHuman("Ada")
	a := newMachine(t, ada, "laptop")
	b := newMachineOf(t, ada, a.badge.vouch(t), "phone")
	home, err := a.CreateHome(t.Context(), "home")
	if err != nil {
		t.Fatal(err)
	}
	s := a.create("plans")
	write(t, s, "a=1")
	connect(t, a, b)
	at := b.joinRole(home, Owner)
	if !at.Record().Home || b.Home() != at {
		t.Error("the home is none")
	}
	x := b.awaitSpace("plans")
	if err := x.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	write(t, x, "b=2")
	agree(t, s, x)
	wantNotes(t, s, "a=1", "b=2")
	// And the other way.
	y := b.create("photos")
	z := a.awaitSpace("photos")
	if err := z.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	agree(t, y, z)
	_, err = b.CreateHome(t.Context(), "another")
	wantKind(t, err, fault.Conflict)
	// Nobody else gets in.
	c := newMachine(t, newHuman("Cyd"), "pc")
	connect(t, a, c)
	_, err = c.Join(patient(t), inviteTo(t, home, InviteOptions{Role: Owner}), "")
	wantKind(t, err, fault.Permission)
}

// awaitSpace waits until a machine has a space.
func (m *machine) awaitSpace(name string) *Space {
	m.t.Helper()
	ctx := patient(m.t)
	for {
		changed := m.Changed()
		if s, err := m.Get(name); err == nil {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			m.t.Fatalf("space %q does not come", name)
		}
	}
}

// The name of a space, which others choose, never stands for another space.
func TestAKeyAsANameDoesNotHideTheSpace(t *testing.T) {
	m := newMachine(t, newHuman("Ada"), "laptop")
	s := m.create("plans")
	key := s.Key().Hex()
	liar := m.create(key)
	for range 20 { // maps have no order
		if got, err := m.Get(key); err != nil || got != s {
			t.Fatalf("the key stands for %v, %v", got, err)
		}
	}
	if err := m.Forget(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Get(key); err != nil || got != liar {
		t.Errorf("the name stands for %v, %v", got, err)
	}
}
