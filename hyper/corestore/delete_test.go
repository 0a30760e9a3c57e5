package corestore

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
)

// used returns the bytes that the store takes.
func used(t testing.TB, s *Store) int64 {
	t.Helper()
	st, err := s.DB().Stats()
	if err != nil {
		t.Fatal(err)
	}
	return st.Segments + st.Database
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// comesBack waits until the store takes fewer bytes.
func comesBack(t testing.TB, s *Store, most int64) {
	t.Helper()
	ctx := patient(t)
	for used(t, s) > most {
		if ctx.Err() != nil {
			t.Fatalf("the store takes %d bytes, more than %d", used(t, s), most)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestDeletedCoreIsGoneAndItsSpaceComesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	keep, c := get(t, s, GetOptions{Name: "keep"}), get(t, s, GetOptions{Name: "big"})
	for _, x := range []*hypercore.Core{keep, c} {
		if _, err := x.Append(t.Context(), []byte("first")); err != nil {
			t.Fatal(err)
		}
	}
	empty := used(t, s)
	var blocks [][]byte
	for i := range 200 {
		blocks = append(blocks, bytes.Repeat([]byte{byte(i), 1, 2, 3}, 16<<10))
	}
	for range 3 {
		if _, err := c.Append(t.Context(), blocks...); err != nil {
			t.Fatal(err)
		}
	}
	full := used(t, s)
	if full < empty+36<<20 {
		t.Fatalf("%d bytes, %d before", full, empty)
	}
	key, dk := c.Key(), c.DiscoveryKey()
	if err := s.Delete(t.Context(), dk); !errors.Is(err, ErrInUse) {
		t.Fatalf("delete of an open core: %v", err)
	}
	if b, err := c.Get(t.Context(), 0); err != nil || string(b) != "first" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), dk); err != nil {
		t.Fatal(err)
	}
	comesBack(t, s, full/10)
	for range 2 { // also after another open
		for d, err := range s.List() {
			if err != nil || d == dk {
				t.Errorf("listed: %s, %v", d, err)
			}
		}
		if _, err := s.Get(t.Context(), GetOptions{Name: "big"}); !errors.Is(err, ErrDeleted) {
			t.Errorf("open by name: %v", err)
		}
		if _, err := s.Get(t.Context(), GetOptions{KeyPair: s.KeyPair("big")}); !errors.Is(err, ErrDeleted) {
			t.Errorf("open by key pair: %v", err)
		}
		if _, err := s.Get(t.Context(), GetOptions{DiscoveryKey: &dk}); !errors.Is(err, hypercore.ErrNotFound) {
			t.Errorf("open by discovery key: %v", err)
		}
		k := get(t, s, GetOptions{Name: "keep"})
		if b, err := k.Get(t.Context(), 0); err != nil || string(b) != "first" {
			t.Errorf("%q, %v", b, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, nil)
	}
	r := get(t, s, GetOptions{Key: &key})
	if r.Writable() || r.Length() != 0 {
		t.Errorf("fetched anew it is writable: %v, with %d blocks", r.Writable(), r.Length())
	}
	if err := s.Delete(t.Context(), hypercrypto.DiscoveryKey{1}); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
}

func TestDeletedCoreIsNotServedAndCanBeFetchedAgain(t *testing.T) {
	a, b := open(t, t.TempDir(), nil), open(t, t.TempDir(), nil)
	w := get(t, a, GetOptions{Name: "x"})
	if _, err := w.Append(t.Context(), []byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	key := w.Key()
	join(t, a, b)
	r := get(t, b, GetOptions{Key: &key})
	if _, err := r.Get(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{}, 1)
	r.Events(func(e hypercore.Event) {
		if e.Type == hypercore.EventPeerRemove {
			gone <- struct{}{}
		}
	})
	if err := a.Delete(t.Context(), key.Discovery()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-patient(t).Done():
		t.Fatal("still served")
	}
	// From its copy it comes back, to be read.
	again := get(t, a, GetOptions{Key: &key})
	if blk, err := again.Get(patient(t), 1); err != nil || string(blk) != "two" {
		t.Errorf("%q, %v", blk, err)
	}
	if again.Writable() {
		t.Error("writable")
	}
}

func TestDeleteWhilePeersAskForTheCore(t *testing.T) {
	a, b := open(t, t.TempDir(), nil), open(t, t.TempDir(), nil)
	join(t, a, b)
	for i := range 30 {
		name := string(rune('a' + i))
		w := get(t, a, GetOptions{Name: name})
		if _, err := w.Append(t.Context(), []byte(name)); err != nil {
			t.Fatal(err)
		}
		key := w.Key()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r := get(t, b, GetOptions{Key: &key})
		if err := a.Delete(patient(t), key.Discovery()); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
