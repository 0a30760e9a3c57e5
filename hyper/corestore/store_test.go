package corestore

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/tradle/cloudpal/hyper/hypercore"
	"github.com/tradle/cloudpal/hyper/hypercrypto"
	"github.com/tradle/cloudpal/hyper/secretstream"
	"github.com/tradle/cloudpal/hyper/storage"
)

func open(t testing.TB, dir string, o *Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

func get(t testing.TB, s *Store, o GetOptions) *hypercore.Core {
	t.Helper()
	c, err := s.Get(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNamedCoresAsInJavaScript(t *testing.T) {
	raw, err := os.ReadFile("testdata/struct-corestore.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Named []struct {
			PrimaryKey, Name, Namespace, PublicKey, SecretKey, Key, ID, DiscoveryKey string
			Namespaces                                                               []string
			ManifestVersion                                                          uint64
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Named {
		var pk [32]byte
		if _, err := hex.Decode(pk[:], []byte(c.PrimaryKey)); err != nil {
			t.Fatal(err)
		}
		root := open(t, t.TempDir(), &Options{PrimaryKey: &pk, ManifestVersion: c.ManifestVersion})
		s := root
		for _, n := range c.Namespaces {
			s = s.Namespace(n)
		}
		if got := hex.EncodeToString(s.namespace[:]); got != c.Namespace {
			t.Errorf("%q: namespace %s, want %s", c.Name, got, c.Namespace)
		}
		kp := s.KeyPair(c.Name)
		if got := hex.EncodeToString(kp.Secret()); got != c.SecretKey {
			t.Errorf("%q: secret key differs", c.Name)
		}
		core := get(t, s, GetOptions{Name: c.Name})
		if core.Key().Hex() != c.Key || core.Key().String() != c.ID || core.DiscoveryKey().String() != c.DiscoveryKey {
			t.Errorf("%q: key %s, want %s", c.Name, core.Key().Hex(), c.Key)
		}
	}
	if len(v.Named) == 0 {
		t.Error("no vectors")
	}
}

func TestNamesSurviveReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	pk := s.PrimaryKey()
	c := get(t, s.Namespace("a"), GetOptions{Name: "x"})
	key := c.Key()
	if _, err := c.Append(t.Context(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var locked *storage.LockedError
	if _, err := Open(t.Context(), dir, nil); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(t.Context(), []byte("late")); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("append to a closed store: %v", err)
	}
	wrong := [32]byte{1}
	if _, err := Open(t.Context(), dir, &Options{PrimaryKey: &wrong}); !errors.Is(err, ErrOtherStore) {
		t.Errorf("open with another primary key: %v", err)
	}
	// Another manifest version gives new names other keys, not old ones.
	s = open(t, dir, &Options{PrimaryKey: &pk, ManifestVersion: 2})
	c = get(t, s.Namespace("a"), GetOptions{Name: "x"})
	if c.Key() != key || !c.Writable() {
		t.Error("the name has another core now")
	}
	if b, err := c.Get(t.Context(), 0); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	byKey := get(t, s, GetOptions{Key: &key})
	if !byKey.Writable() {
		t.Error("an own core opened by key is writable")
	}
	dk := key.Discovery()
	if byDK := get(t, s, GetOptions{DiscoveryKey: &dk}); byDK.Key() != key {
		t.Error("opened by discovery key: another core")
	}
	n := 0
	for d, err := range s.List() {
		if err != nil {
			t.Fatal(err)
		}
		if d == dk {
			n++
		}
	}
	if n != 1 {
		t.Errorf("listed %d times", n)
	}
	if _, err := s.Get(t.Context(), GetOptions{}); !errors.Is(err, ErrName) {
		t.Errorf("get nothing: %v", err)
	}
}

// join connects two stores over loopback.
func join(t testing.TB, a, b *Store) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		s, err := ln.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		c, err := secretstream.Server(ctx, s, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = a.Replicate(ctx, c) // ends with the test
	}()
	s, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := secretstream.Client(ctx, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer func() { done <- struct{}{} }()
		_ = b.Replicate(ctx, c)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
}

func TestManyCoresOverOneConnection(t *testing.T) {
	a, b := open(t, t.TempDir(), nil), open(t, t.TempDir(), nil)
	const n = 120
	var keys []hypercrypto.Key
	for i := range n {
		c := get(t, a, GetOptions{Name: string(rune('A' + i))})
		if _, err := c.Append(t.Context(), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, c.Key())
		if i%2 == 0 {
			c.Close() // stored, but nobody has it open
		}
	}
	join(t, a, b)
	for i, key := range keys {
		c := get(t, b, GetOptions{Key: &key})
		blk, err := c.Get(t.Context(), 0)
		if err != nil || !bytes.Equal(blk, []byte{byte(i)}) {
			t.Fatalf("core %d: %v, %v", i, blk, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCoreThatAppearsLater(t *testing.T) {
	a, b := open(t, t.TempDir(), nil), open(t, t.TempDir(), nil)
	key := func() hypercrypto.Key {
		m := hypercrypto.DefaultManifest(a.KeyPair("late").Public)
		return m.Key()
	}()
	join(t, a, b)
	r := get(t, b, GetOptions{Key: &key}) // rejected: a does not have it yet
	w := get(t, a, GetOptions{Name: "late"})
	if _, err := w.Append(t.Context(), []byte("now")); err != nil {
		t.Fatal(err)
	}
	if blk, err := r.Get(t.Context(), 0); err != nil || string(blk) != "now" {
		t.Errorf("%q, %v", blk, err)
	}
}
