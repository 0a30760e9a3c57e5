package space

import (
	"context"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/corestore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// stored returns the logs that are stored on a machine.
func (m *machine) stored() map[hypercrypto.DiscoveryKey]bool {
	m.t.Helper()
	list := make(map[hypercrypto.DiscoveryKey]bool)
	for dk, err := range m.store.List() {
		if err != nil {
			m.t.Fatal(err)
		}
		list[dk] = true
	}
	return list
}

func TestForgottenSpacesAreGone(t *testing.T) {
	a, b := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone")
	s, kept := a.create("plans"), b.create("mine")
	write(t, kept, "k=1")
	cut := connect(t, a, b)
	before := b.stored()
	invite, err := s.Invite(t.Context(), InviteOptions{Role: Editor})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // with the same invite
		x, err := b.Join(patient(t), invite, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := x.WaitMember(patient(t)); err != nil {
			t.Fatal(err)
		}
		write(t, s, "a=1")
		write(t, x, "b=1")
		agree(t, s, x)
		logs, err := x.Logs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Forget(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		after := b.stored()
		for key := range logs {
			if after[key.Discovery()] {
				t.Errorf("log %s is still here", key)
			}
		}
		for dk := range after {
			if !before[dk] {
				t.Errorf("%s is new", dk)
			}
		}
		if !b.records[s.Key()].cleared {
			t.Error("it is not remembered that it is gone")
		}
	}
	cut()
	write(t, kept, "k=2")
}

func TestWhatIsLeftOfForgottenSpacesIsDeletedLater(t *testing.T) {
	a := newMachine(t, newHuman("Ada"), "laptop")
	before := len(a.stored())
	s := a.create("plans")
	write(t, s, "a=1")
	key := s.BlobLog().Key()
	used, err := a.store.Get(t.Context(), corestore.GetOptions{Key: &key, Passive: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.Forget(ctx, s) }()
	until(t, "it is forgotten", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.records[s.Key()].Forgotten
	})
	select {
	case err := <-ended:
		t.Errorf("a log that is in use is deleted: %v", err)
	case <-time.After(100 * time.Millisecond): // it waits for that log by now, most likely
		cancel()
		if err := <-ended; err == nil {
			t.Error("a log that is in use is deleted")
		}
	}
	if err := used.Close(); err != nil {
		t.Fatal(err)
	}
	a.restart()
	if got := len(a.stored()); got != before {
		t.Errorf("%d logs are left, %d before", got, before)
	}
}

func TestAnnouncedLogsOfContentsAreNoWriters(t *testing.T) {
	a, b := newMachine(t, newHuman("Ada"), "laptop"), newMachine(t, newHuman("Bob"), "phone")
	s := a.create("plans")
	connect(t, a, b)
	x := b.joinRole(s, Editor)
	agree(t, s, x)
	contents := s.BlobLog().Key()
	if err := x.base.Hint(t.Context(), contents, 5); err != nil {
		t.Fatal(err)
	}
	if b.stored()[contents.Discovery()] {
		t.Error("the log of contents is fetched as one of a writer")
	}
	other := hypercrypto.NewKeyPair()
	unknown := hypercrypto.DefaultManifest(other.Public).Key()
	if err := x.base.Hint(t.Context(), unknown, 5); err != nil {
		t.Fatal(err)
	}
	if !b.stored()[unknown.Discovery()] {
		t.Error("a log that is not known is not looked at")
	}
}
