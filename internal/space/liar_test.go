package space

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/autobase"
	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/compact"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/identitykey"
	"github.com/tradle/cloudpal/internal/fault"
	"github.com/tradle/cloudpal/internal/space/clock"
)

// say writes an operation whatever the program thinks of it, and returns what came of it.
func (s *Space) say(t testing.TB, optimistic bool, e envelope) autobase.Outcome {
	t.Helper()
	if e.level == 0 {
		e.level = 1
	}
	if e.time == 0 {
		e.time = s.l.clock.Now()
	}
	var r *autobase.Receipt
	var err error
	if optimistic {
		r, err = s.base.AppendOptimistic(t.Context(), e.appendTo(nil))
	} else {
		var all []*autobase.Receipt
		if all, err = s.base.Append(t.Context(), e.appendTo(nil)); err == nil {
			r = all[0]
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Outcome()
}

func (s *Space) act(t testing.TB, optimistic bool, a action) autobase.Outcome {
	t.Helper()
	return s.say(t, optimistic, envelope{typ: coreType, body: encodeAction(a)})
}

func wantRefused(t testing.TB, what string, o autobase.Outcome) {
	t.Helper()
	if o.Err == nil && !o.Ignored {
		t.Errorf("%s has an effect", what)
	}
}

// Programs that claim more than they may change nothing, on any device.
func TestLiarsChangeNothing(t *testing.T) {
	ada, bob, cyd, dan := newHuman("Ada"), newHuman("Bob"), newHuman("Cyd"), newHuman("Dan")
	a, b, c := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, cyd, "pc")
	s := a.create("plans")
	connect(t, a, b, c)
	editor, viewer := b.joinRole(s, Editor), c.joinRole(s, Viewer)
	agree(t, s, editor, viewer)
	d := newMachine(t, dan, "tablet") // nobody
	connect(t, a, d)
	stranger := d.openLink(s)
	agree2(t, s, stranger)
	for stranger.base.Status().Tip < s.base.Status().Tip {
		if err := stranger.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	write(t, s, "a=1")
	agree(t, s, editor, viewer, stranger)

	dk := s.app.discovery
	claimOf := func(m *machine, s *Space) *claim {
		c, err := m.claim(t.Context(), s.Record().namespace, &dk)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	strangers := claimOf(d, stranger)
	inv := blindpairing.NewInvite(s.Key())
	inv.Seed = [32]byte{1}
	// An editor does what only owners may.
	for _, x := range []action{
		&roleAction{bob.key(), Owner}, &removeAction{ada.key()}, &removeDeviceAction{s.Log()}, &setAction{"name", []byte("mine")},
		&inviteAction{public: inv.KeyPair().Public, role: Owner}, &indexerAction{0, true, editor.Log()}, &rotateAction{epoch: 5},
		&mirrorAction{bob.key(), "m"}, &linkAction{s.Key(), []byte{1}}, &revokeAction{},
		&createAction{name: "mine", claim: claimOf(b, editor)}, &admitAction{claim: claimOf(b, editor)},
		&admitAction{claim: strangers},
		&setAction{".home", []byte{1}}, &setAction{"level", []byte{0}}, &setAction{"level", []byte{200}},
	} {
		wantRefused(t, "an action of an editor", editor.act(t, false, x))
	}
	// Not even an owner may do all.
	strangeLog := *strangers
	strangeLog.log = editor.Log()
	for _, x := range []action{
		&setAction{".home", []byte{1}}, &setAction{"level", []byte{0}}, &setAction{"level", []byte{1}}, &linkAction{s.Key(), []byte{1}},
		&roleAction{ada.key(), Editor}, &roleAction{bob.key(), Mirror}, &removeAction{dan.key()}, &admitAction{claim: &strangeLog},
		&admitAction{claim: strangers}, &rotateAction{}, &indexerAction{7, true, editor.Log()}, &indexerAction{0, true, viewer.Log()},
		&renameAction{"a\nb"}, &renameAction{}, &leaveAction{},
	} {
		wantRefused(t, "an impossible action", s.act(t, false, x))
	}
	// A viewer and a stranger, whose nodes are looked at only if they are optimistic.
	for _, x := range []action{
		&roleAction{cyd.key(), Editor}, &setAction{"name", []byte("mine")}, &removeDeviceAction{s.Log()},
		&admitAction{claim: claimOf(c, viewer)}, &admitAction{claim: strangers}, &removeAction{ada.key()},
		&rotateAction{epoch: 6}, &createAction{name: "mine", claim: claimOf(c, viewer)},
	} {
		wantRefused(t, "an action of a viewer", viewer.act(t, true, x))
	}
	wantRefused(t, "a note of a viewer", viewer.say(t, true, envelope{typ: "notes", body: []byte("v=1")}))
	for _, x := range []action{
		&admitAction{claim: strangers}, &renameAction{"me"}, &leaveAction{}, &removeDeviceAction{s.Log()},
		&deviceAction{name: "x"}, &setAction{"name", []byte("mine")},
	} {
		wantRefused(t, "an action of a stranger", stranger.act(t, true, x))
	}
	wantRefused(t, "a note of a stranger", stranger.say(t, true, envelope{typ: "notes", body: []byte("s=1")}))
	// The stranger says to be Ada.
	forged := *strangers
	p := identitykey.Bootstrap(dan.keys.Identity, d.badge.key.Public, time.Now())
	p.Identity = ada.key()
	forged.proof = p
	wantRefused(t, "a forged proof", stranger.act(t, true, &admitAction{claim: &forged}))
	signed, err := identitykey.AttestData(identitykey.Bootstrap(dan.keys.Identity, d.badge.key.Public, time.Now()), d.badge.key, strangers.signedData(dk))
	if err != nil {
		t.Fatal(err)
	}
	signed.Identity = ada.key()
	forged.proof = signed
	wantRefused(t, "a forged proof", stranger.act(t, true, &admitAction{claim: &forged}))
	// The claim of Ada's device, replayed for the stranger's log, and for its own.
	adas := claimOf(a, s)
	wantRefused(t, "a replayed claim", stranger.act(t, true, &admitAction{claim: adas}))
	moved := *adas
	moved.log = stranger.Log()
	wantRefused(t, "a claim of another log", stranger.act(t, true, &admitAction{claim: &moved}))
	// A recovery with somebody else's phrase.
	st := stranger.base.Status()
	rec := &recoverAction{claim: strangers, system: autobase.Ref{Key: st.System, Length: st.Confirmed}}
	rec.proof = identitykey.AttestDataAsIdentity(dan.keys.Identity, rec.signedData(dk), time.Now())
	wantRefused(t, "a recovery by a stranger", stranger.act(t, true, rec))
	rec.proof.Identity = ada.key()
	wantRefused(t, "a forged recovery", stranger.act(t, true, rec))

	write(t, s, "a=2")
	agree(t, s, editor, viewer)
	wantNotes(t, viewer, "a=2")
	members, err := s.Members(t.Context())
	if err != nil || len(members) != 3 {
		t.Fatalf("%+v, %v", members, err)
	}
	want := map[hypercrypto.PublicKey]Role{ada.key(): Owner, bob.key(): Editor, cyd.key(): Viewer}
	for _, m := range members {
		if m.Role != want[m.Person] || m.Removed {
			t.Errorf("%+v", m)
		}
	}
	if name, err := editor.Setting(t.Context(), "name"); err != nil || string(name) != "plans" {
		t.Errorf("name %q, %v", name, err)
	}
	if st := s.base.Status(); st.System != editor.base.Status().System || s.base.KeyEpoch() != 0 {
		t.Error("the base is another one")
	}
}

// An admission is good once: what an invite proved is no way back after a removal.
func TestAnAdmissionCannotBeReplayed(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a, b, c := newMachine(t, ada, "laptop"), newMachine(t, bob, "phone"), newMachine(t, newHuman("Cyd"), "pc")
	s := a.create("plans")
	connect(t, a, b, c)
	i := inviteTo(t, s, InviteOptions{Role: Editor})
	x := b.join(i)
	y := c.join(i)
	agree(t, s, x, y)
	admission := &admitAction{invite: i.ID(), claim: nil}
	cl, err := b.claim(t.Context(), x.Record().namespace, &s.app.discovery)
	if err != nil {
		t.Fatal(err)
	}
	candidate, err := blindpairing.NewCandidate(i, cl.appendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	admission.claim, admission.receipt = cl, candidate.Receipt()
	wantRefused(t, "an admission of a member", y.act(t, false, admission))
	if err := s.Remove(patient(t), bob.key()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, y)
	wantRefused(t, "an admission of who was removed", y.act(t, false, admission))
	wantRefused(t, "an admission without invite", y.act(t, false, &admitAction{claim: cl}))
	// A device that the removed person has since.
	n := newMachineOf(t, bob, b.badge.vouch(t), "new")
	_, err = n.OpenLink(t.Context(), s.Link(), "plans", false)
	if err != nil {
		t.Fatal(err)
	}
	ncl, err := n.claim(t.Context(), n.get("plans").Record().namespace, &s.app.discovery)
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, "a device of who was removed", y.act(t, false, &admitAction{claim: ncl}))
	// The same person with a new generation of devices still is removed.
	wantRefused(t, "an old invite", y.act(t, false, admission))
	agree(t, s, y)
}

// An old program and a new one in one space come to one state; when owners raise the level
// the old one stops.
func TestOldAndNewProgramsAgree(t *testing.T) {
	newer := func(o *Options) {
		o.level = 2
		o.Collections = append(o.Collections, notes{"tables", 2})
	}
	a := newMachine(t, newHuman("Ada"), "laptop", newer)
	b := newMachine(t, newHuman("Bob"), "phone")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Editor)
	write(t, s, "a=1")
	// A newer program writes what the space is too old for.
	if _, err := s.Append(t.Context(), "tables", []byte("t=1")); err != nil {
		t.Fatal(err)
	}
	s.say(t, false, envelope{level: 2, typ: "notes", body: []byte("n=1")})
	s.say(t, false, envelope{level: 1, typ: "tables", body: []byte("u=1")})
	s.say(t, false, envelope{level: 1, typ: "neverheard", body: []byte("v=1")})
	if o := s.say(t, false, envelope{level: 9, typ: coreType, body: []byte("whatever")}); o.Err != nil {
		t.Error(o.Err)
	}
	write(t, x, "b=1")
	agree(t, s, x)
	wantNotes(t, s, "a=1", "b=1")
	wantNotes(t, x, "a=1", "b=1")
	if got := dump(t, s.View("tables")); len(got) != 0 {
		t.Errorf("tables %q", got)
	}
	skipped := 0
	for e, err := range x.History(t.Context(), 0, true) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Skipped {
			skipped++
		}
	}
	if skipped != 5 {
		t.Errorf("%d operations were skipped", skipped)
	}
	wantRefused(t, "a level that the owner's program does not know", x.act(t, false, &setAction{settingLevel, compact.AppendUint(nil, 2)}))
	if err := s.SetSetting(t.Context(), settingLevel, compact.AppendUint(nil, 2)); err != nil {
		t.Fatal(err)
	}
	if err := x.await(patient(t), func(context.Context) (bool, error) { return false, nil }); !errors.Is(err, autobase.ErrInterrupted) {
		t.Fatalf("the old program goes on: %v", err)
	}
	if st, err := x.Status(t.Context()); err != nil || fault.KindOf(st.Err) != fault.Unavailable {
		t.Errorf("%v, %v", st.Err, err)
	}
	wantNotes(t, x, "a=1", "b=1")
	if _, err := s.Append(t.Context(), "tables", []byte("t=2")); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, s.View("tables")); !slices.Equal(got, []string{"t=2"}) {
		t.Errorf("tables %q", got)
	}
	// It goes on once it is updated.
	b.close()
	newer(&b.opts)
	b.open()
	connect(t, a, b)
	x = b.get("plans")
	agree(t, s, x)
	if got := dump(t, x.View("tables")); !slices.Equal(got, []string{"t=2"}) {
		t.Errorf("tables %q", got)
	}
}

// A device whose clock is years ahead does not move the time of others, and what came
// after it is still found by its time.
func TestAClockFarAheadPoisonsNothing(t *testing.T) {
	a := newMachine(t, newHuman("Ada"), "laptop")
	s := a.create("plans")
	write(t, s, "a=1")
	s.say(t, false, envelope{time: clock.Of(time.Now().Add(10 * 365 * 24 * time.Hour)), typ: "notes", body: []byte("a=2")})
	write(t, s, "a=3")
	time.Sleep(5 * time.Millisecond)
	between := time.Now()
	time.Sleep(5 * time.Millisecond)
	write(t, s, "a=4")
	for e, err := range s.History(t.Context(), 0, true) {
		if err != nil {
			t.Fatal(err)
		}
		if time.Until(e.Time) > time.Minute {
			t.Errorf("the newest is of %v", e.Time)
		}
		break
	}
	a.restart()
	s = a.get("plans")
	e, err := s.At(t.Context(), between)
	if err != nil {
		t.Fatal(err)
	}
	r, done, err := s.ViewAt("notes", e.Version)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if got := dump(t, r); !slices.Equal(got, []string{"a=3"}) {
		t.Errorf("then it was %q", got)
	}
	write(t, s, "a=5")
	if e, err := s.At(t.Context(), time.Now()); err != nil || time.Until(e.Time) > time.Minute {
		t.Errorf("%+v, %v", e, err)
	}
}
