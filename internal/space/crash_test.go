package space

import (
	"context"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// The process ended after the space was remembered and before its first operation.
func TestASpaceThatWasHalfCreatedIsFinished(t *testing.T) {
	m := newMachine(t, newHuman("Ada"), "laptop")
	m.close()
	identity := m.opts.Identity
	m.opts.Identity = nil // so that nothing is written
	m.open()
	r := Record{Name: "plans", Encryption: &hypercrypto.EncryptionKey{1}, namespace: "half"}
	store := m.store.Namespace(storeName(r.namespace))
	r.Key = hypercrypto.DefaultManifest(store.KeyPair(logName).Public).Key()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	m.close()
	m.opts.Identity = identity
	m.open()
	s := m.get("plans")
	if err := s.WaitMember(patient(t)); err != nil {
		t.Fatal(err)
	}
	if roleOf(t, s) != Owner {
		t.Error(roleOf(t, s))
	}
	write(t, s, "a=1")
	wantNotes(t, s, "a=1")
}

// A device that was let in over many others has no room for names in its request, and
// tells them afterwards.
func TestNamesThatDidNotFitAreToldLater(t *testing.T) {
	ada, bob := newHuman("Ada"), newHuman("Bob with a rather long name, all in all about this long")
	a := newMachine(t, ada, "laptop")
	badge := bob.badge()
	for range 4 {
		badge = badge.vouch(t)
	}
	b := newMachineOf(t, bob, badge, "a device with a long name")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Viewer)
	err := s.await(patient(t), func(ctx context.Context) (bool, error) {
		members, err := s.Members(ctx)
		if err != nil {
			return false, err
		}
		devices, err := s.Devices(ctx)
		if err != nil {
			return false, err
		}
		told := 0
		for _, m := range members {
			if m.Name == bob.name {
				told++
			}
		}
		for _, d := range devices {
			if d.Name == b.opts.DeviceName {
				told++
			}
		}
		return told == 2, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	agree(t, s, x)
}

func BenchmarkAppend(b *testing.B) {
	m := newMachine(b, newHuman("Ada"), "laptop")
	s := m.create("plans")
	b.ReportAllocs()
	for b.Loop() {
		write(b, s, "a=1")
	}
}
