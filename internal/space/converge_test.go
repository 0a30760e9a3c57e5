package space

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tradle/cloudpal/internal/fault"
)

// Three devices write, join and part, while roles and keys change. In the end all have one
// state, which is also what the operations give when they are applied from nothing.
func TestDevicesConvergeWhateverHappens(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { converge(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func converge(t *testing.T, r *rand.Rand) {
	ada, bob := newHuman("Ada"), newHuman("Bob")
	a := newMachine(t, ada, "laptop")
	b := newMachineOf(t, ada, a.badge.vouch(t), "phone")
	c := newMachine(t, bob, "pc")
	s := a.create("plans")
	cut := connect(t, a, b, c)
	spaces := []*Space{s, b.joinRole(s, Owner), c.joinRole(s, Editor)}
	agree(t, spaces...)
	role := Editor
	for step := range 30 {
		i := r.IntN(len(spaces))
		switch n := r.IntN(12); {
		case n < 8:
			_, err := spaces[i].Append(t.Context(), "notes", fmt.Appendf(nil, "k%d=%d by %d", r.IntN(5), step, i))
			// An editor that was made a viewer may not, from when it knows.
			if err != nil && !(i == 2 && fault.KindOf(err) == fault.Permission) && fault.KindOf(err) != fault.Unavailable {
				t.Fatal(err)
			}
		case n == 8:
			cut()
		case n == 9:
			cut()
			cut = connect(t, a, b, c)
		case n == 10:
			role = Viewer + Editor - role
			if err := spaces[r.IntN(2)].SetRole(t.Context(), bob.key(), role); err != nil {
				t.Fatal(err)
			}
		case n == 11:
			// Of two names one wins.
			if err := spaces[r.IntN(2)].SetSetting(t.Context(), "name", fmt.Appendf(nil, "plans %d", step)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut()
	cut = connect(t, a, b, c)
	agree(t, spaces...)
	cut()
	want := dump(t, s.View("notes"))
	for i, x := range spaces {
		wantNotes(t, x, want...)
		// What a device writes by itself may come in between.
		var err error
		for range 10 {
			if err := x.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
			fresh := newApp(x.Key(), x.app.level, x.l.opts.Collections)
			fresh.clock, fresh.ring, fresh.box, fresh.log = x.app.clock, x.app.ring, x.app.box, x.app.log
			if err = x.base.Check(patient(t), fresh.handlers()); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("device %d: %v", i, err)
		}
	}
}
