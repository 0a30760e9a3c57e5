package corestore

import (
	"slices"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

func TestMarkedViewsKnowWhatTheyMade(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	other := get(t, s, GetOptions{Name: "before"})
	m := s.Namespace("x").Marked("x")
	key := other.Key()
	get(t, m, GetOptions{Key: &key}) // was there
	foreign := hypercrypto.Key{7}
	own, remote := get(t, m, GetOptions{Name: "own"}), get(t, m.Session(), GetOptions{Key: &foreign})
	get(t, s, GetOptions{Name: "after"})
	get(t, m.Namespace("below"), GetOptions{Name: "own"})
	want := func(s *Store, n int) {
		t.Helper()
		list, err := s.MadeBy("x")
		if err != nil || len(list) != n || !slices.Contains(list, own.DiscoveryKey()) || !slices.Contains(list, remote.DiscoveryKey()) {
			t.Errorf("%v, %v", list, err)
		}
	}
	want(s, 3)
	if list, err := s.MadeBy("y"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(open(t, dir, nil), 3)
}
