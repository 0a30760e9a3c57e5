package space

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tradle/cloudpal/internal/fault"
)

func TestASpaceIsThereAfterARestart(t *testing.T) {
	ada := newHuman("Ada")
	m := newMachine(t, ada, "laptop")
	s, err := m.Create(t.Context(), "notes of mine")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1")
	write(t, s, "b=2", "c=3")
	write(t, s, "b")
	key, log, version := s.Key(), s.Log(), s.Version()
	check := func(s *Space) {
		t.Helper()
		wantNotes(t, s, "a=1", "c=3")
		if v, ok, err := s.View("notes").Get(t.Context(), []byte("c")); err != nil || !ok || string(v) != "3" {
			t.Errorf("c is %q, %v, %v", v, ok, err)
		}
		members, err := s.Members(t.Context())
		if err != nil || len(members) != 1 || members[0] != (Member{Person: ada.key(), Name: "Ada", Role: Owner, Self: true}) {
			t.Errorf("members %+v, %v", members, err)
		}
		devices, err := s.Devices(t.Context())
		if err != nil || len(devices) != 1 || devices[0].Log != log || devices[0].Blobs != s.BlobLog().Key() || !devices[0].Indexer || !devices[0].Self {
			t.Errorf("devices %+v, %v", devices, err)
		}
	}
	check(s)
	m.restart()
	s = m.get("notes of mine")
	if s.Key() != key || s.Log() != log || s.Version() < version {
		t.Error("it is another one")
	}
	check(s)
	if byKey, err := m.Get(key.String()); err != nil || byKey != s {
		t.Errorf("by key: %v", err)
	}
}

func TestAnAppendHasAnEffectAsAWholeOrNone(t *testing.T) {
	m := newMachine(t, newHuman("Ada"), "laptop")
	s, err := m.Create(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1")
	if _, err := s.Append(t.Context(), "notes", []byte("b=2"), []byte("!")); !errors.Is(err, errNote) {
		t.Errorf("error %v", err)
	}
	wantNotes(t, s, "a=1")
	_, err = s.Append(t.Context(), "other", []byte("b=2"))
	wantKind(t, err, fault.Usage)
	_, err = s.Append(t.Context(), "notes", make([]byte, MaxBody+1))
	wantKind(t, err, fault.Usage)
}

func TestEarlierStatesCanBeRead(t *testing.T) {
	m := newMachine(t, newHuman("Ada"), "laptop")
	s, err := m.Create(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "a=1", "b=1")
	between := time.Now()
	time.Sleep(5 * time.Millisecond)
	write(t, s, "a=2")
	write(t, s, "b")
	var states [][]string
	for e, err := range s.History(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		r, done, err := s.ViewAt("notes", e.Version)
		if err != nil {
			t.Fatal(err)
		}
		if at, err := s.EntryAt(t.Context(), e.Position); err != nil || at != e {
			t.Errorf("position %d: %+v, %v", e.Position, at, err)
		}
		if e.Type == "notes" {
			states = append(states, dump(t, r))
		}
		if err := done(); err != nil {
			t.Error(err)
		}
	}
	want := [][]string{{"a=1", "b=1"}, {"a=2", "b=1"}, {"a=2"}}
	if !slices.EqualFunc(states, want, slices.Equal) {
		t.Errorf("states %q", states)
	}
	e, err := s.At(t.Context(), between)
	if err != nil {
		t.Fatal(err)
	}
	r, done, err := s.ViewAt("notes", e.Version)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if got := dump(t, r); !slices.Equal(got, want[0]) {
		t.Errorf("then it was %q", got)
	}
	if e, err := s.At(t.Context(), time.Now().Add(time.Hour)); err != nil || e.Count != 1 {
		t.Errorf("newest %+v, %v", e, err)
	}
	_, err = s.At(t.Context(), time.Now().Add(-time.Hour))
	wantKind(t, err, fault.NotFound)
	_, _, err = s.ViewAt("notes", s.Version()+10)
	wantKind(t, err, fault.NotFound)
}
