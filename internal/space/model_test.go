package space

import (
	"fmt"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/blindpairing"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/internal/space/clock"
	"pgregory.net/rapid"
)

// membershipModel says in plain terms who is in a space.
type membershipModel struct {
	step    int
	people  []modelPerson
	invites []modelInvite
}

type modelPerson struct {
	role    Role
	until   int // step of the removal
	devices [2]modelDevice
}

type modelDevice struct {
	active bool
	until  int
}

type modelInvite struct {
	role       Role
	uses, used int
	revoked    bool
	expired    bool
	since      int
}

func (m *membershipModel) member(p int) bool { return m.people[p].role != 0 }

// admit tells whether a device gets in; inv is -1 for none.
func (m *membershipModel) admit(p, d, inv int) bool {
	person := &m.people[p]
	dev := &person.devices[d]
	if dev.active {
		return false
	}
	if inv < 0 {
		if !m.member(p) || dev.until > 0 {
			return false
		}
		dev.active = true
		return true
	}
	i := &m.invites[inv]
	switch {
	case i.revoked, i.expired, i.uses > 0 && i.used >= i.uses:
		return false
	case dev.until > 0 && i.since <= dev.until:
		return false
	case !m.member(p) && person.until > 0 && i.since <= person.until:
		return false
	}
	person.role = max(person.role, i.role)
	dev.active = true
	i.used++
	return true
}

func (m *membershipModel) remove(p int) bool {
	if p == 0 || !m.member(p) {
		return false // person 0 has the only device that confirms
	}
	person := &m.people[p]
	person.role, person.until = 0, m.step
	for i := range person.devices {
		if person.devices[i].active {
			person.devices[i] = modelDevice{until: m.step}
		}
	}
	return true
}

func (m *membershipModel) removeDevice(p, d int) bool {
	dev := &m.people[p].devices[d]
	if p == 0 || !dev.active {
		return false
	}
	if !m.people[p].devices[1-d].active {
		return m.remove(p)
	}
	*dev = modelDevice{until: m.step}
	return true
}

func (m *membershipModel) setRole(p int, r Role) bool {
	if p == 0 || !m.member(p) || r == Mirror {
		return false
	}
	m.people[p].role = r
	return true
}

// actor is a person in the test of the model, with what their devices claim.
type actor struct {
	*human
	claims [2]*claim
}

func newActor(t testing.TB, m *machine, s *Space, name string) *actor {
	a := &actor{human: newHuman(name)}
	for i := range a.claims {
		b := a.badge()
		c := &claim{
			log: hypercrypto.DefaultManifest(hypercrypto.NewKeyPair().Public).Key(), blobs: hypercrypto.DefaultManifest(hypercrypto.NewKeyPair().Public).Key(),
			box: hypercrypto.NewBoxKeyPair().Public, personName: name, deviceName: fmt.Sprint("device ", i),
		}
		var err error
		if c.proof, err = b.Attest(c.signedData(s.app.discovery)); err != nil {
			t.Fatal(err)
		}
		a.claims[i] = c
	}
	return a
}

// Whatever owners do with people, devices and invites, the space comes to what the model
// says.
func TestMembershipIsThatOfTheModel(t *testing.T) {
	m := newMachine(t, newHuman("Ada"), "laptop")
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		s := m.create(fmt.Sprint("space ", round))
		defer func() {
			if err := m.Forget(t.Context(), s); err != nil {
				t.Error(err)
			}
		}()
		model := &membershipModel{people: make([]modelPerson, 4)}
		model.people[0].role = Owner
		actors := []*actor{nil}
		for i := 1; i < len(model.people); i++ {
			actors = append(actors, newActor(t, m, s, fmt.Sprint("person ", i)))
		}
		var invites []*blindpairing.Invite
		who := func() (p, d int) {
			return rapid.IntRange(1, len(actors)-1).Draw(r, "person"), rapid.IntRange(0, 1).Draw(r, "device")
		}
		check := func(what string, a action, want bool) {
			o := s.act(t, false, a)
			if (o.Err == nil) != want {
				r.Fatalf("%s: %v, the model says %v", what, o.Err, want)
			}
		}
		steps := rapid.IntRange(1, 25).Draw(r, "steps")
		for model.step = 1; model.step <= steps; model.step++ {
			switch rapid.IntRange(0, 9).Draw(r, "what") {
			case 0, 1:
				i := blindpairing.NewInvite(s.Key())
				x := modelInvite{
					role: Role(rapid.IntRange(int(Viewer), int(Owner)).Draw(r, "role")), uses: rapid.IntRange(0, 2).Draw(r, "uses"),
					expired: rapid.IntRange(0, 4).Draw(r, "expired") == 0, since: model.step,
				}
				act := &inviteAction{public: i.KeyPair().Public, role: x.role, uses: uint64(x.uses)}
				if x.expired {
					act.expires = uint64(time.Now().Add(-time.Hour).Unix())
				}
				invites, model.invites = append(invites, i), append(model.invites, x)
				check("invite", act, true)
			case 2, 3, 4, 5:
				p, d := who()
				inv := rapid.IntRange(-1, len(invites)-1).Draw(r, "invite")
				act := &admitAction{claim: actors[p].claims[d]}
				if inv >= 0 {
					c, err := blindpairing.NewCandidate(invites[inv], act.claim.appendTo(nil))
					if err != nil {
						t.Fatal(err)
					}
					act.invite, act.receipt = invites[inv].ID(), c.Receipt()
				}
				check("admit", act, model.admit(p, d, inv))
			case 6:
				p, _ := who()
				check("remove", &removeAction{actors[p].key()}, model.remove(p))
			case 7:
				p, d := who()
				check("remove device", &removeDeviceAction{actors[p].claims[d].log}, model.removeDevice(p, d))
			case 8:
				p, _ := who()
				role := Role(rapid.IntRange(int(Mirror), int(Owner)).Draw(r, "role"))
				check("role", &roleAction{actors[p].key(), role}, model.setRole(p, role))
			case 9:
				if len(invites) > 0 {
					i := rapid.IntRange(0, len(invites)-1).Draw(r, "invite")
					model.invites[i].revoked = true
					check("revoke", &revokeAction{invites[i].ID()}, true)
				}
			}
		}
		compare(t, r, s, model, actors, invites)
	})
}

// compare compares the state of a space with the model, and the writers of its base.
func compare(t *testing.T, r *rapid.T, s *Space, model *membershipModel, actors []*actor, invites []*blindpairing.Invite) {
	tree, release := s.snaps.use()
	defer release()
	st := records{tree}
	for p := 1; p < len(actors); p++ {
		rec, err := st.person(t.Context(), actors[p].key())
		if err != nil {
			t.Fatal(err)
		}
		if member := rec != nil && rec.until == 0; member != model.member(p) || member && rec.role != model.people[p].role {
			r.Fatalf("person %d is %+v, in the model %+v", p, rec, model.people[p])
		}
		for d, c := range actors[p].claims {
			dev, err := st.device(t.Context(), c.log)
			if err != nil {
				t.Fatal(err)
			}
			active := dev != nil && dev.until == 0
			if active != model.people[p].devices[d].active {
				r.Fatalf("device %d of person %d is %+v", d, p, dev)
			}
			m, ok, err := s.base.Member(t.Context(), c.log)
			if err != nil {
				t.Fatal(err)
			}
			if writes := ok && !m.Removed; writes != (active && model.people[p].role.writes()) {
				r.Fatalf("device %d of person %d writes: %v", d, p, writes)
			}
		}
	}
	for i, inv := range invites {
		rec, err := st.invite(t.Context(), inv.ID())
		if err != nil || rec == nil {
			t.Fatal(err)
		}
		want := model.invites[i]
		over := rec.open(clock.Of(time.Now())) != nil
		if int(rec.used) != want.used || over != (want.revoked || want.expired || want.uses > 0 && want.used >= want.uses) {
			r.Fatalf("invite %d is %+v, in the model %+v", i, rec, want)
		}
	}
}
